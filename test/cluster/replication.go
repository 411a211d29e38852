package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// failoverBound is how long servers may take to find each other, to agree on a new
// primary and to follow it; far above what is normal.
const failoverBound = 60 * time.Second

// replicationConfig has a primary begin at once to fill a replica that connects, where
// it would wait for others for five seconds, and tells the address of a replica that
// connects over a wire, which ends at a unix socket.
func replicationConfig() []string {
	return []string{"--repl-diskless-sync-delay", "0", "--replica-announce-ip", "127.0.0.1"}
}

// replication is what a server says of its part in replication.
type replication struct {
	primary bool
	// fields are the lines of INFO replication by name.
	fields map[string]string
}

func (r *Redis) replication() (replication, error) {
	text, err := r.control.Info(context.Background(), "replication").Result()
	if err != nil {
		return replication{}, fmt.Errorf("ask %s about replication: %w", r.Address(), err)
	}
	fields := infoFields(text)
	return replication{primary: fields["role"] == "master", fields: fields}, nil
}

// infoFields reads lines of the form name:value.
func infoFields(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	return fields
}

// allInStep checks that replicas are connected to their primary and have all that it
// had when it was asked.
func allInStep(primary *Redis, replicas []*Redis) error {
	for _, replica := range replicas {
		if err := inStep(primary, replica); err != nil {
			return err
		}
	}
	return nil
}

func inStep(primary, replica *Redis) error {
	want, err := primary.replication()
	if err != nil {
		return err
	}
	got, err := replica.replication()
	if err != nil {
		return err
	}
	fields := got.fields
	if got.primary || fields["master_port"] != fmt.Sprint(primary.announcedPort()) || fields["master_link_status"] != "up" ||
		fields["master_sync_in_progress"] != "0" {
		return fmt.Errorf("%s does not follow %s: %v", replica.Address(), primary.Address(), fields)
	}
	var has, wanted int64
	if _, err := fmt.Sscan(fields["slave_repl_offset"]+" "+want.fields["master_repl_offset"], &has, &wanted); err != nil {
		return fmt.Errorf("read the offsets of %s and %s: %w", replica.Address(), primary.Address(), err)
	}
	if has < wanted {
		return fmt.Errorf("%s has %d bytes of %d", replica.Address(), has, wanted)
	}
	return nil
}

// cutOff pauses replicas and breaks their connections, so that nothing the primary
// does from now on is waiting for them when they are resumed.
func cutOff(tb testing.TB, primary *Redis, replicas []*Redis) {
	tb.Helper()
	for _, replica := range replicas {
		replica.Pause()
	}
	if err := primary.control.ClientKillByFilter(context.Background(), "TYPE", "replica").Err(); err != nil {
		tb.Fatalf("break the connections of replicas to %s: %v", primary.Address(), err)
	}
}

// saysPrimary checks that a server says of itself that it is a primary.
func saysPrimary(server *Redis) error {
	said, err := server.replication()
	if err == nil && !said.primary {
		err = fmt.Errorf("%s does not yet say that it is primary", server.Address())
	}
	return err
}
