package router

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/tiers/hot"
)

// heartbeatInterval is how often a frontend says that it is alive, several times
// within hot.MemberGood.
const heartbeatInterval = time.Second

const (
	alarmNoSpace = pb.AlarmType_NOSPACE
	alarmCorrupt = pb.AlarmType_CORRUPT
)

// card is what a frontend tells the others of itself, as JSON.
type card struct {
	Name       string   `json:"name"`
	ClientURLs []string `json:"clientURLs"`
}

// heartbeatLoop keeps this frontend in the member list, and through it learns of
// a lost hot tier even when nobody asks for anything.
func (k *Keyspace) heartbeatLoop() {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	silent := false
	for {
		select {
		case <-k.stopped:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(k.working, hot.MemberGood)
		err := k.beat(ctx)
		cancel()
		if err != nil && k.working.Err() == nil && !silent {
			k.logger.Warn("the hot tier does not answer heartbeats", "cause", err)
		}
		if err == nil && silent {
			k.logger.Info("the hot tier answers again")
		}
		silent = err != nil
	}
}

func (k *Keyspace) beat(ctx context.Context) error {
	payload, err := json.Marshal(card{Name: k.settings.Name, ClientURLs: k.settings.ClientURLs})
	if err != nil {
		return fmt.Errorf("encode member: %w", err)
	}
	mode := hot.MemberBeat
	if k.settings.Unlisted {
		mode = hot.MemberLook
	}
	_, err = k.look(ctx, mode, payload)
	return err
}

// look reads the keyspace's summary and keeps it.
func (k *Keyspace) look(ctx context.Context, mode hot.MemberMode, payload []byte) (*hot.Summary, error) {
	s, err := k.hot.Summary(ctx, mode, payload)
	if err != nil {
		return nil, translate(err)
	}
	k.summary.Store(&s)
	return &s, nil
}

// Self implements API.
func (k *Keyspace) Self() Member {
	return Member{ID: k.settings.MemberID, Name: k.settings.Name, ClientURLs: k.settings.ClientURLs}
}

// ClusterID implements API.
func (k *Keyspace) ClusterID() uint64 { return k.hot.ClusterID() }

// Term implements API.
func (k *Keyspace) Term() uint64 { return k.hot.Term() }

// LastRevision implements API.
func (k *Keyspace) LastRevision() Revision { return k.hot.Seen() }

// LeaderID implements API.
func (k *Keyspace) LeaderID() uint64 { return k.leader(k.summary.Load()) }

// leader is the live member that registered first. Every frontend that sees the
// same members names the same one.
func (k *Keyspace) leader(s *hot.Summary) uint64 {
	first := oldestFirst(s)
	if len(first) == 0 {
		return k.settings.MemberID
	}
	return first[0].ID
}

// Members implements API.
func (k *Keyspace) Members(ctx context.Context) ([]Member, Revision, error) {
	s, err := k.look(ctx, hot.MemberLook, nil)
	if err != nil {
		return nil, 0, err
	}
	members := make([]Member, 0, len(s.Members))
	for _, m := range oldestFirst(s) {
		var c card
		if err := json.Unmarshal(m.Payload, &c); err != nil {
			return nil, 0, fmt.Errorf("decode member %x: %w", m.ID, err)
		}
		members = append(members, Member{ID: m.ID, Name: c.Name, ClientURLs: c.ClientURLs})
	}
	return members, s.Revision, nil
}

// Status implements API.
func (k *Keyspace) Status(ctx context.Context) (Status, error) {
	s, err := k.look(ctx, hot.MemberLook, nil)
	if err != nil {
		return Status{}, err
	}
	size, err := k.hot.MemoryUsed(ctx)
	if err != nil {
		return Status{}, translate(err)
	}
	keys, bytes := k.total(s)
	return Status{
		Revision: s.Revision, Compacted: s.Compacted, Term: s.Term, SizeBytes: size, SizeInUseBytes: bytes,
		QuotaBytes: k.settings.QuotaBytes, Keys: keys, LeaderID: k.leader(s), Alarms: alarms(s),
	}, nil
}

func alarms(s *hot.Summary) []Alarm {
	out := make([]Alarm, len(s.Alarms))
	for i, a := range s.Alarms {
		out[i] = Alarm{MemberID: a.MemberID, Type: pb.AlarmType(a.Kind)}
	}
	return out
}

// Alarms implements API.
func (k *Keyspace) Alarms(ctx context.Context) ([]Alarm, error) {
	s, err := k.look(ctx, hot.MemberLook, nil)
	if err != nil {
		return nil, err
	}
	return alarms(s), nil
}

// RaiseAlarm implements API.
func (k *Keyspace) RaiseAlarm(ctx context.Context, a Alarm) error {
	return k.raise(ctx, a, k.hot.RaiseAlarm)
}

func (k *Keyspace) raise(ctx context.Context, a Alarm, how func(context.Context, hot.Alarm) (bool, error)) error {
	raised, err := how(ctx, hot.Alarm{MemberID: a.MemberID, Kind: byte(a.Type)})
	if err != nil {
		return fmt.Errorf("raise alarm %v: %w", a.Type, translate(err))
	}
	if raised {
		k.logger.Warn("alarm raised", "alarm", a.Type.String(), "member", a.MemberID)
	}
	k.tellSpace(ctx, a)
	return nil
}

// tellSpace tells all shards of a change of the NOSPACE alarm, which lives on the home
// shard. One that cannot be told now is told by whoever looks after it.
func (k *Keyspace) tellSpace(ctx context.Context, a Alarm) {
	if a.Type != alarmNoSpace {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	shards, err := k.toTell(ctx)
	if err != nil {
		k.logger.Warn("the shards will learn of an alarm later", "cause", err)
		return
	}
	var telling sync.WaitGroup
	for _, s := range shards {
		telling.Go(func() {
			if err := s.tellSpace(ctx); err != nil && !errors.Is(err, errStaleMap) {
				k.logger.Warn("a shard will learn of an alarm later", "shard", int(s.id), "cause", err)
			}
		})
	}
	telling.Wait()
}

// toTell are all shards but the home shard, with the one that a move is filling: its
// mover may have told it what was so before.
func (k *Keyspace) toTell(ctx context.Context) ([]*shard, error) {
	if err := k.reloadMap(ctx); err != nil {
		return nil, err
	}
	shards := slices.DeleteFunc(k.others(), func(s *shard) bool { return !k.named(s) })
	m := k.shardMap()
	if m.move == "" {
		return shards, nil
	}
	var card moveCard
	if err := json.Unmarshal([]byte(m.move), &card); err != nil {
		return nil, fmt.Errorf("decode the move: %w", err)
	}
	filling, err := k.openShard(card.Shard, card.Endpoint, m)
	if err != nil {
		return nil, err
	}
	return append(shards, filling), nil
}

// DisarmAlarm implements API.
func (k *Keyspace) DisarmAlarm(ctx context.Context, a Alarm) ([]Alarm, error) {
	lowered, err := k.hot.LowerAlarm(ctx, hot.Alarm{MemberID: a.MemberID, Kind: byte(a.Type)})
	if errors.Is(err, hot.ErrKept) {
		return nil, fmt.Errorf("%w: the CORRUPT alarm stays up: %w", ErrCorrupt, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lower alarm %v: %w", a.Type, translate(err))
	}
	k.tellSpace(ctx, a)
	out := make([]Alarm, len(lowered))
	for i, l := range lowered {
		out[i] = Alarm{MemberID: l.MemberID, Type: pb.AlarmType(l.Kind)}
	}
	return out, nil
}

func oldestFirst(s *hot.Summary) []hot.Member {
	members := slices.Clone(s.Members)
	slices.SortFunc(members, func(a, b hot.Member) int {
		return cmp.Or(a.Registered.Compare(b.Registered), cmp.Compare(a.ID, b.ID))
	})
	return members
}
