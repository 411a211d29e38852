package cluster

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinelName is the name of the set in its Sentinels.
const sentinelName = "tierd"

const (
	// sentinelDownAfter is when a Sentinel takes a silent server for dead, unless a test
	// says otherwise. Half of it was seen to replace servers that only waited for a
	// busy disk.
	sentinelDownAfter = time.Second
	// sentinelFailoverTimeout is half of the time until Sentinels try again what did
	// not come to an end. Two promotions that overlap can undo each other.
	sentinelFailoverTimeout = 5 * time.Second
)

// ReplicaSet is a primary and its replicas under the watch of Sentinels.
//
// A primary that comes back after it was replaced goes on as one until the Sentinels
// have seen it so for eight seconds, and turn it into a replica.
type ReplicaSet struct {
	// Servers are all of them; the first one begins as the primary.
	Servers []*Redis
	// Sentinels are the processes.
	Sentinels []*Process
	// Wire is what others reach the first server over, nil if they do so directly. Cut,
	// it leaves that one alone with whoever uses its socket.
	Wire *Wire

	tb           testing.TB
	ports        []int // of the Sentinels
	controls     []*redis.SentinelClient
	sentinelUser string
}

// ReplicaSetOptions are the choices a test has.
type ReplicaSetOptions struct {
	// Replicas is how many there are beside the primary; default 1.
	Replicas int
	// Sentinels is how many there are, of which more than half must agree; default 1.
	Sentinels int
	// DownAfter is when a silent server counts as dead; default a second.
	DownAfter time.Duration
	// Wired has the first server behind a wire.
	Wired bool
	// Config is added to the command line of every server.
	Config []string
	// User is that of RedisOptions.
	User string
	// SentinelUser is whom the Sentinels know beside the default user, with SentinelRights.
	SentinelUser   string
	SentinelRights []string
}

// StartReplicaSet starts the servers and Sentinels, and waits until all know each
// other and the replicas are in step.
func StartReplicaSet(tb testing.TB, options ReplicaSetOptions) *ReplicaSet {
	tb.Helper()
	s := &ReplicaSet{tb: tb, sentinelUser: options.SentinelUser}
	for i := range 1 + max(options.Replicas, 1) {
		s.Servers = append(s.Servers, StartRedis(tb, RedisOptions{
			Name: fmt.Sprintf("redis-%d", i+1), TCP: true, User: options.User, Config: append(replicationConfig(), options.Config...),
		}))
	}
	if options.Wired {
		s.layWire(s.Servers[0])
	}
	for _, replica := range s.Servers[1:] {
		s.follow(replica, s.Servers[0])
	}
	Await(tb, failoverBound, "the replicas are in step", func() error { return allInStep(s.Servers[0], s.Servers[1:]) })
	s.startSentinels(max(options.Sentinels, 1), max(options.DownAfter, 0), options.SentinelRights)
	return s
}

// layWire has everyone reach a server over a wire, also when it is a replica.
func (s *ReplicaSet) layWire(server *Redis) {
	s.tb.Helper()
	s.Wire, server.announced = newTCPWire(s.tb, server)
	if err := server.control.ConfigSet(context.Background(), "replica-announce-port", fmt.Sprint(server.announced)).Err(); err != nil {
		s.tb.Fatalf("announce the port of a wire: %v", err)
	}
}

// follow makes a server a replica, also after its restart.
func (s *ReplicaSet) follow(replica, primary *Redis) {
	s.tb.Helper()
	ctx := context.Background()
	if err := replica.control.ReplicaOf(ctx, "127.0.0.1", fmt.Sprint(primary.announcedPort())).Err(); err != nil {
		s.tb.Fatalf("make %s a replica: %v", replica.Address(), err)
	}
	if err := replica.control.ConfigRewrite(ctx).Err(); err != nil {
		s.tb.Fatalf("write the configuration of %s: %v", replica.Address(), err)
	}
}

func (s *ReplicaSet) startSentinels(count int, downAfter time.Duration, rights []string) {
	s.tb.Helper()
	if downAfter == 0 {
		downAfter = sentinelDownAfter
	}
	s.ports = FreePorts(s.tb, count)
	for i, port := range s.ports {
		dir := Folder(s.tb)
		config := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\n"+
			"sentinel monitor %[3]s 127.0.0.1 %d %d\n"+
			"sentinel down-after-milliseconds %[3]s %[6]d\n"+
			"sentinel failover-timeout %[3]s %[7]d\n",
			port, dir, sentinelName, s.Servers[0].announcedPort(), count/2+1, downAfter.Milliseconds(), sentinelFailoverTimeout.Milliseconds())
		if s.sentinelUser != "" {
			text += fmt.Sprintf("user %s on >%s %s\n", s.sentinelUser, UserPassword, strings.Join(rights, " "))
		}
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			s.tb.Fatalf("write the configuration of a sentinel: %v", err)
		}
		sentinel := NewProcess(s.tb, Command{
			Name: fmt.Sprintf("sentinel-%d", i+1), Path: redisServer(), Args: []string{config, "--sentinel"}, LogDir: dir,
		})
		sentinel.Start()
		s.Sentinels = append(s.Sentinels, sentinel)
		control := redis.NewSentinelClient(&redis.Options{
			Addr: localAddress(port), MaxRetries: -1, DialTimeout: controlTimeout, ReadTimeout: controlTimeout,
		})
		s.tb.Cleanup(func() { _ = control.Close() })
		s.controls = append(s.controls, control)
	}
	s.awaitKnown()
}

// awaitKnown waits until every Sentinel knows all servers and all other Sentinels.
func (s *ReplicaSet) awaitKnown() {
	s.tb.Helper()
	Await(s.tb, failoverBound, "the sentinels know everyone", func() error {
		for _, control := range s.controls {
			fields, err := control.Master(context.Background(), sentinelName).Result()
			if err != nil {
				return err
			}
			if fields["num-slaves"] != fmt.Sprint(len(s.Servers)-1) || fields["num-other-sentinels"] != fmt.Sprint(len(s.controls)-1) ||
				fields["flags"] != "master" {
				return fmt.Errorf("a sentinel knows %s replicas and %s sentinels, and of the primary %q",
					fields["num-slaves"], fields["num-other-sentinels"], fields["flags"])
			}
		}
		return nil
	})
}

// URL is the address of the set in the form that tierd's --hot-tier takes: that of
// all its Sentinels.
func (s *ReplicaSet) URL() string {
	query := url.Values{"master_name": {sentinelName}}
	if user := s.Servers[0].user; user != "" {
		query.Set("username", user)
		query.Set("password", UserPassword)
	}
	for _, port := range s.ports[1:] {
		query.Add("addr", localAddress(port))
	}
	return fmt.Sprintf("redis://%s%s?%s", credentials(s.sentinelUser), localAddress(s.ports[0]), query.Encode())
}

// SentinelClients are connections for looking into the Sentinels, closed with the test.
func (s *ReplicaSet) SentinelClients() []*redis.Client {
	var all []*redis.Client
	for _, port := range s.ports {
		client := redis.NewClient(&redis.Options{Addr: localAddress(port), MaxRetries: -1})
		s.tb.Cleanup(func() { _ = client.Close() })
		all = append(all, client)
	}
	return all
}

// Primary is the server that the Sentinels name.
func (s *ReplicaSet) Primary() *Redis {
	s.tb.Helper()
	var primary *Redis
	Await(s.tb, failoverBound, "the sentinels name the primary", func() (err error) {
		primary, err = s.agreed()
		return err
	})
	return primary
}

// agreed is the primary that all Sentinels name.
func (s *ReplicaSet) agreed() (*Redis, error) {
	var primary *Redis
	for _, sentinel := range s.controls {
		named, err := s.named(sentinel)
		if err != nil {
			return nil, err
		}
		if primary != nil && named != primary {
			return nil, fmt.Errorf("the sentinels name %s and %s", primary.Address(), named.Address())
		}
		primary = named
	}
	return primary, nil
}

func (s *ReplicaSet) named(sentinel *redis.SentinelClient) (*Redis, error) {
	address, err := sentinel.GetMasterAddrByName(context.Background(), sentinelName).Result()
	if err != nil {
		return nil, fmt.Errorf("ask a sentinel for the primary: %w", err)
	}
	for _, server := range s.Servers {
		if address[1] == fmt.Sprint(server.announcedPort()) {
			return server, nil
		}
	}
	return nil, fmt.Errorf("a sentinel names an unknown primary %v", address)
}

// Replicas are the servers other than the primary.
func (s *ReplicaSet) Replicas() []*Redis {
	s.tb.Helper()
	return without(s.Servers, s.Primary())
}

// AwaitPromotion waits until all Sentinels name another primary than old, and that
// one says so too, and gives it.
func (s *ReplicaSet) AwaitPromotion(old *Redis) *Redis {
	s.tb.Helper()
	var primary *Redis
	Await(s.tb, failoverBound, "a replica is promoted", func() (err error) {
		if primary, err = s.agreed(); err != nil {
			return err
		}
		if primary == old {
			return fmt.Errorf("the sentinels name %s", old.Address())
		}
		return saysPrimary(primary)
	})
	return primary
}

// AwaitInStep waits until all servers follow the primary and have what it has.
func (s *ReplicaSet) AwaitInStep() {
	s.tb.Helper()
	Await(s.tb, failoverBound, "the replicas are in step", func() error {
		primary, err := s.agreed()
		if err != nil {
			return err
		}
		return allInStep(primary, without(s.Servers, primary))
	})
}

// CutReplicasOff pauses the replicas and takes from them what the primary does from
// now on. To lose it, kill the primary and Resume the replicas that are given.
func (s *ReplicaSet) CutReplicasOff() []*Redis {
	s.tb.Helper()
	primary := s.Primary()
	replicas := without(s.Servers, primary)
	cutOff(s.tb, primary, replicas)
	return replicas
}

// without are the servers but one.
func without(servers []*Redis, not *Redis) []*Redis {
	var rest []*Redis
	for _, server := range servers {
		if server != not {
			rest = append(rest, server)
		}
	}
	return rest
}
