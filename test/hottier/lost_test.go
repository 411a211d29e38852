package hottier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
	"github.com/tierd/tierd/test/shards"
)

// history is one sequence of writes, made of several systems alike.
type history struct {
	t       *testing.T
	ctx     context.Context
	clients []*clientv3.Client
	etcd    *oracle.Server
	areas   []string
	steps   int
	// revision is the last one.
	revision int64
}

func startHistory(t *testing.T, s *site) *history {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	h := &history{t: t, ctx: ctx, etcd: oracle.Start(t, oracle.Options{}), areas: s.areas, revision: 1}
	for _, f := range s.Frontends {
		h.clients = append(h.clients, f.Client())
	}
	return h
}

// op is one step: puts and deletions in one area and another, a compare, and now and
// then a transaction over both.
func (h *history) op() clientv3.Op {
	n := h.steps
	h.steps++
	key := func(area string, i int) string { return fmt.Sprintf("%s%s%d", written, area, i%7) }
	area := h.areas[n%len(h.areas)]
	value := fmt.Sprint("value ", n)
	switch n / len(h.areas) % 5 {
	case 1:
		return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key(area, n)), ">", 0)},
			[]clientv3.Op{clientv3.OpDelete(key(area, n)), clientv3.OpPut(key(area, n+1), value)},
			[]clientv3.Op{clientv3.OpPut(key(area, n), value), clientv3.OpPut(key(area, n+2), value)})
	case 3:
		next := h.areas[(n+1)%len(h.areas)]
		return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(key(area, n), value), clientv3.OpPut(key(next, n), value)}, nil)
	}
	return clientv3.OpPut(key(area, n), value)
}

// go on makes steps, through the frontends in turns.
func (h *history) goOn(steps int) {
	h.t.Helper()
	for range steps {
		client := h.clients[h.steps%len(h.clients)]
		op := h.op()
		want, err := h.etcd.Client().Do(h.ctx, op)
		if err != nil {
			h.t.Fatal(err)
		}
		got, err := client.Do(h.ctx, op)
		if err != nil {
			h.t.Fatalf("step %d: %v", h.steps, err)
		}
		h.revision = revisionOf(want)
		if r := revisionOf(got); r != h.revision {
			h.t.Fatalf("step %d took revision %d, in etcd %d", h.steps, r, h.revision)
		}
	}
}

func revisionOf(r clientv3.OpResponse) int64 {
	if r.Txn() != nil {
		return r.Txn().Header.Revision
	}
	return r.Put().Header.Revision
}

// same checks that every frontend holds what etcd does, at each revision.
func (h *history) same() {
	h.t.Helper()
	want := h.hash(h.etcd.Client())
	for _, client := range h.clients {
		if got := h.hash(client); got != want {
			h.t.Errorf("HashKV at revision %d is %d, of etcd %d", h.revision, got, want)
		}
	}
}

func (h *history) hash(client *clientv3.Client) uint32 {
	h.t.Helper()
	response, err := client.HashKV(h.ctx, client.Endpoints()[0], h.revision)
	if err != nil {
		h.t.Fatalf("hash at revision %d: %v", h.revision, err)
	}
	return response.Hash
}

// failOver loses what the primary does meanwhile, and waits for another one. The Redis
// has one replica: of two, Sentinels may promote first the one and then the other.
func (s *site) failOver(lose func(old *cluster.Redis)) {
	s.AwaitInStep()
	old := s.Primary()
	cut := s.CutReplicasOff()
	lose(old)
	old.Kill()
	for _, replica := range cut {
		replica.Resume()
	}
	s.AwaitPromotion(old)
}

// TestLostTailOfAShardComesBack: the promoted replica of a shard lacks what was
// acknowledged; the frontends that wrote it live, and bring it back.
func TestLostTailOfAShardComesBack(t *testing.T) {
	eachArrangement(t, func(t *testing.T, a arrangement) {
		s := a.open(t, false, durability{}, 1)
		h := startHistory(t, s)
		h.goOn(60)
		s.failOver(func(*cluster.Redis) { h.goOn(60) })
		h.goOn(1)
		h.same()
		h.goOn(60)
		h.same()
		if alarms, err := h.clients[0].AlarmList(h.ctx); err != nil || len(alarms.Alarms) > 0 {
			t.Errorf("alarms %v, %v", alarms, err)
		}
	})
}

// TestLostTailOfAShard: nobody has what the promoted replica of a shard lacks. The
// shard is refused, the others serve, tierd recover says what is missing, and goes
// on without it.
func TestLostTailOfAShard(t *testing.T) {
	eachArrangement(t, func(t *testing.T, a arrangement) {
		s := a.open(t, false, durability{}, 1)
		h := startHistory(t, s)
		h.goOn(40)
		witness, writer := s.Frontends[0], s.Frontends[1]
		var missing []int64
		s.failOver(func(*cluster.Redis) {
			for i := range 10 {
				area := s.areas[i%len(s.areas)]
				r := putRevision(t, h.ctx, h.clients[1], written+area+"lost")
				if area == struck {
					missing = append(missing, r)
				}
				h.revision = r
			}
			writer.Kill()
		})
		v := &victim{t: t, ctx: h.ctx, s: s, client: witness.Client(), revision: h.revision}
		v.awaitRefused(struck)
		v.servesOthers()
		v.alarmed()
		v.explained(missing)
		v.accept()
		v.goesOn(witness)
		writer.Restart()
		v.goesOn(witness, writer)
	})
}

// TestLostTailOfTheSequencer: the promoted replica of the sequencer's Redis lacks what
// was acknowledged, and a frontend knows, or only a shard does.
func TestLostTailOfTheSequencer(t *testing.T) {
	for name, frontendsLive := range map[string]bool{"a frontend knows": true, "only a shard knows": false} {
		t.Run(name, func(t *testing.T) {
			eachArrangement(t, func(t *testing.T, a arrangement) {
				s := a.open(t, true, durability{}, 1)
				h := startHistory(t, s)
				h.goOn(40)
				s.failOver(func(*cluster.Redis) {
					h.goOn(20)
					get(t, h.ctx, h.clients[0], struck) // it is stamped
					if !frontendsLive {
						for _, f := range s.Frontends {
							f.Kill()
						}
					}
				})
				if !frontendsLive {
					for _, f := range s.Frontends {
						f.Start()
					}
				}
				v := &victim{t: t, ctx: h.ctx, s: s, client: s.Frontends[0].Client(), revision: h.revision}
				for _, area := range s.areas {
					v.awaitRefused(area)
				}
				v.alarmed()
				v.explained(nil)
				v.accept()
				v.goesOn(s.Frontends...)
			})
		})
	}
}

// plain is a site with a Redis for the sequencer and one for struck, without replicas.
func plain(t *testing.T) *site {
	t.Helper()
	c := cluster.Start(t, cluster.Options{Frontends: 2, Servers: 2, Args: []string{"--balance=false"}})
	s := &site{Cluster: c, areas: apart()}
	shards.Spread(t, c, written+struck, written+spared)
	return s
}

// loseFor writes something that only the second frontend knows, kills that one and the
// Redis of struck, changes what that has on disk, and starts it again.
func (s *site) loseFor(h *history, change func(server *cluster.Redis)) *victim {
	for _, area := range s.areas {
		h.revision = putRevision(h.t, h.ctx, h.clients[1], written+area+"lost")
	}
	s.Frontends[1].Kill()
	server := s.Servers[1]
	server.Kill()
	change(server)
	server.Restart()
	v := &victim{t: h.t, ctx: h.ctx, s: s, client: h.clients[0], revision: h.revision}
	v.awaitRefused(struck)
	v.servesOthers()
	v.alarmed()
	return v
}

// TestLostTailIsFoundAgain: the Redis of a shard comes back without its end, and after
// that with it. Everything is served then, and the alarm is over.
func TestLostTailIsFoundAgain(t *testing.T) {
	t.Parallel()
	s := plain(t)
	h := startHistory(t, s)
	h.goOn(30)
	kept, err := os.Stat(s.Servers[1].TailFile())
	if err != nil {
		t.Fatal(err)
	}
	var whole []byte
	v := s.loseFor(h, func(server *cluster.Redis) {
		if whole, err = os.ReadFile(server.TailFile()); err != nil {
			t.Fatal(err)
		}
		cluster.CutTail(t, server.TailFile(), kept.Size())
	})
	s.Servers[1].Kill()
	if err := os.WriteFile(s.Servers[1].TailFile(), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Servers[1].Restart()
	cluster.Await(t, bound, "the shard is served again", func() error {
		response, err := v.client.Get(h.ctx, written+struck+"lost")
		if err == nil && len(response.Kvs) != 1 {
			t.Fatalf("the key is not there: %v", response)
		}
		return err
	})
	s.Frontends[1].Restart()
	v.clean(v.client, 2)
	for _, f := range s.Frontends {
		v.revision++
		if r := putRevision(t, h.ctx, f.Client(), written+struck); r != v.revision {
			t.Errorf("a put took revision %d, want %d", r, v.revision)
		}
	}
	if out, err := s.Tool(h.ctx, nil, "recover", "--accept-loss"); err == nil {
		t.Errorf("a loss was accepted where there is none: %s", out)
	}
}

// TestEmptiedShard: the Redis of a shard comes back empty, and is given up.
func TestEmptiedShard(t *testing.T) {
	t.Parallel()
	s := plain(t)
	h := startHistory(t, s)
	h.goOn(30)
	v := s.loseFor(h, func(server *cluster.Redis) {
		if err := os.RemoveAll(filepath.Dir(server.TailFile())); err != nil {
			t.Fatal(err)
		}
	})
	v.explained([]int64{})
	v.accept()
	v.goesOn(s.Frontends[0])
	s.Frontends[1].Restart()
	v.goesOn(s.Frontends...)
}

func get(t *testing.T, ctx context.Context, client *clientv3.Client, area string) {
	t.Helper()
	if _, err := client.Get(ctx, written+area+"0"); err != nil {
		t.Fatal(err)
	}
}

// victim is a keyspace that has lost something for good.
type victim struct {
	t      *testing.T
	ctx    context.Context
	s      *site
	client *clientv3.Client
	// revision is the last one that was acknowledged before the loss was accepted.
	revision int64
	live     clientv3.WatchChan
}

// awaitRefused waits until an area is refused; nothing may be answered there.
func (v *victim) awaitRefused(area string) {
	v.t.Helper()
	for name, call := range map[string]func() error{
		"read": func() error { _, err := v.client.Get(v.ctx, written+area+"0"); return err },
		"put":  func() error { _, err := v.client.Put(v.ctx, written+area+"0", "x"); return err },
		"list": func() error { _, err := v.client.Get(v.ctx, written, clientv3.WithPrefix()); return err },
		"transaction": func() error {
			_, err := v.client.Txn(v.ctx).Then(clientv3.OpPut(written+home+"x", "x"), clientv3.OpPut(written+area+"y", "x")).Commit()
			return err
		},
	} {
		cluster.Await(v.t, bound, "a "+name+" of "+area+" is refused", func() error {
			err := call()
			if err == nil {
				v.t.Fatalf("a %s of %s was answered although acknowledged writes are lost", name, area)
			}
			if !errors.Is(err, rpctypes.ErrCorrupt) {
				return err
			}
			return nil
		})
	}
}

// servesOthers checks the areas that have lost nothing.
func (v *victim) servesOthers() {
	v.t.Helper()
	// This one needs what is lost, and waits; those of the same stream do not wait for it.
	v.live = v.client.Watch(v.ctx, written, clientv3.WithPrefix(), clientv3.WithRev(2))
	for _, area := range v.s.sparedBy() {
		events := v.client.Watch(v.ctx, written+area, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		if created := <-events; created.Err() != nil {
			v.t.Fatalf("watch %s: %v", area, created.Err())
		}
		v.revision = putRevision(v.t, v.ctx, v.client, written+area+"meanwhile")
		get(v.t, v.ctx, v.client, area)
		v.hear(events, v.revision, v.revision)
	}
}

func (v *victim) alarmed() {
	v.t.Helper()
	alarms, err := v.client.AlarmList(v.ctx)
	if err != nil || len(alarms.Alarms) == 0 || alarms.Alarms[0].Alarm != pb.AlarmType_CORRUPT {
		v.t.Fatalf("alarms %v, %v", alarms, err)
	}
	if _, err := v.client.AlarmDisarm(v.ctx, &clientv3.AlarmMember{}); !errors.Is(err, rpctypes.ErrCorrupt) {
		v.t.Errorf("it was disarmed: %v", err)
	}
}

// explained checks what tierd recover says; revisions are those of the shard, none if
// it is not known which; nil if the whole keyspace has lost something.
func (v *victim) explained(revisions []int64) {
	v.t.Helper()
	out, err := v.s.Tool(v.ctx, nil, "recover")
	if err != nil || !strings.Contains(string(out), "refused") {
		v.t.Fatalf("tierd recover: %q, %v", out, err)
	}
	v.t.Logf("tierd recover:\n%s", out)
	out, err = v.s.Tool(v.ctx, nil, "recover", "--output", "json")
	var loss struct {
		Reason string
		Shards []struct {
			Shard            int
			MissingRevisions []int64
			Missing          int
		}
	}
	if err == nil {
		err = json.Unmarshal(out, &loss)
	}
	if err != nil {
		v.t.Fatalf("tierd recover: %q, %v", out, err)
	}
	if revisions == nil {
		if loss.Reason == "" {
			v.t.Errorf("no reason: %s", out)
		}
		return
	}
	if len(revisions) == 0 { // more than are listed
		if len(loss.Shards) != 1 || loss.Shards[0].Missing == 0 {
			v.t.Errorf("told: %s", out)
		}
		return
	}
	if len(loss.Shards) != 1 || !slices.Equal(loss.Shards[0].MissingRevisions, revisions) || loss.Shards[0].Missing != len(revisions) {
		v.t.Errorf("missing are %v; told: %s", revisions, out)
	}
}

// accept goes on without what is lost.
func (v *victim) accept() {
	v.t.Helper()
	out, err := v.s.Tool(v.ctx, nil, "recover", "--accept-loss")
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Logf("tierd recover --accept-loss:\n%s", out)
	if out, err = v.s.Tool(v.ctx, nil, "recover"); err != nil || !strings.Contains(string(out), "Nothing is missing") {
		v.t.Errorf("tierd recover says %q, %v", out, err)
	}
}

// goesOn checks that everything is served through frontends, above all that anyone can
// have seen.
func (v *victim) goesOn(frontends ...*cluster.Frontend) {
	v.t.Helper()
	client := cluster.Dial(v.t, endpointsOf(frontends)...)
	cluster.Await(v.t, bound, "the frontends serve again", func() error {
		for _, f := range frontends {
			if err := f.Ready(); err != nil {
				return err
			}
		}
		return nil
	})
	before, err := client.Get(v.ctx, written, clientv3.WithPrefix())
	if err != nil || before.Header.Revision <= v.revision {
		v.t.Fatalf("after revision %d: %v, %v", v.revision, before, err)
	}
	_, err = client.Get(v.ctx, written, clientv3.WithPrefix(), clientv3.WithRev(v.revision))
	if !errors.Is(err, rpctypes.ErrCompacted) {
		v.t.Errorf("a list at revision %d: %v", v.revision, err)
	}
	v.overtaken(client)
	at := before.Header.Revision
	events := client.Watch(v.ctx, written, clientv3.WithPrefix(), clientv3.WithRev(at+1))
	for _, f := range frontends {
		for _, area := range v.s.areas {
			at++
			if r := putRevision(v.t, v.ctx, f.Client(), written+area+"after"); r != at {
				v.t.Fatalf("a put took revision %d, want %d", r, at)
			}
		}
	}
	v.hear(events, before.Header.Revision+1, at)
	held, err := client.Get(v.ctx, written, clientv3.WithPrefix())
	if err != nil || held.Header.Revision != at || int(held.Count) != len(held.Kvs) {
		v.t.Fatalf("a list after %d: %v, %v", at, held, err)
	}
	v.clean(client, len(frontends))
}

func endpointsOf(frontends []*cluster.Frontend) []string {
	var endpoints []string
	for _, f := range frontends {
		endpoints = append(endpoints, f.Endpoint())
	}
	return endpoints
}

// overtaken checks that watches from before are told that they have missed something.
func (v *victim) overtaken(client *clientv3.Client) {
	v.t.Helper()
	watches := []clientv3.WatchChan{client.Watch(v.ctx, written, clientv3.WithPrefix(), clientv3.WithRev(v.revision+1))}
	if v.live != nil {
		watches = append(watches, v.live)
		v.live = nil
	}
	for _, watch := range watches {
		for response := range watch {
			if response.Err() == nil {
				continue // what came before
			}
			if !errors.Is(response.Err(), rpctypes.ErrCompacted) {
				v.t.Errorf("a watch from before ends with %v", response.Err())
			}
			break
		}
	}
}

// hear checks that a watch tells of every revision.
func (v *victim) hear(events clientv3.WatchChan, next, last int64) {
	v.t.Helper()
	for response := range events {
		if err := response.Err(); err != nil {
			v.t.Fatal(err)
		}
		for _, e := range response.Events {
			if e.Kv.ModRevision != next {
				v.t.Fatalf("revision %d came where %d is due", e.Kv.ModRevision, next)
			}
			next++
		}
		if next > last {
			return
		}
	}
	v.t.Fatalf("the watch ended before revision %d: %v", next, v.ctx.Err())
}

// clean checks that nothing is left of the loss.
func (v *victim) clean(client *clientv3.Client, members int) {
	v.t.Helper()
	if alarms, err := client.AlarmList(v.ctx); err != nil || len(alarms.Alarms) > 0 {
		v.t.Errorf("alarms %v, %v", alarms, err)
	}
	cluster.Await(v.t, bound, "the member list is right", func() error {
		list, err := client.MemberList(v.ctx)
		if err == nil && len(list.Members) != members {
			err = fmt.Errorf("%d members, want %d", len(list.Members), members)
		}
		return err
	})
}
