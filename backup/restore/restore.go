// Package restore brings a keyspace back from its archive.
//
// What it brings is the state at one revision of one timeline: revisions, versions and leases as they
// were, whole or of some keys only. It reads the archive as a stream, so that memory does not
// grow with it, and checks all that it reads before the keyspace becomes available. A
// restore that was interrupted is gone on with by the same request, even if the archive has grown since.
package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// Request says what is to be restored.
type Request struct {
	Target backup.Target
	// Prefixes are those of the keys to restore; none for all keys. Other keys are left out, as if they had
	// never been; revisions stay what they were.
	Prefixes []string
	// Bump raises the revision by so many and compacts there, so that clients that have seen
	// later revisions read everything anew; 0 keeps it.
	Bump router.Revision
}

// Plan is what a restore reads, and what results.
type Plan struct {
	backup.Plan
	Request Request
	// Floor is the first revision of which everything is brought; of what was before, what was
	// alive then. -1 if all ever made is.
	Floor router.Revision
}

// identity is what a restore is, so that it can be gone on with. Its text is the ID.
type identity struct {
	Timeline string          `json:"timeline"`
	Keyspace string          `json:"keyspace"`
	Target   string          `json:"target"`
	Prefixes []string        `json:"prefixes,omitempty"`
	Base     string          `json:"base"`
	Revision router.Revision `json:"revision"`
}

const identityMagic = "archive "

// ID says exactly what is restored: two restores of the same ID bring the same versions.
func (p *Plan) ID() string {
	text, err := json.Marshal(p.identity())
	if err != nil {
		panic(fmt.Sprintf("restore: strings and numbers cannot be encoded: %v", err))
	}
	return identityMagic + string(text)
}

func (p *Plan) identity() identity {
	encoded := make([]string, len(p.Request.Prefixes))
	for i, prefix := range p.Request.Prefixes {
		encoded[i] = fmt.Sprintf("%x", prefix) // JSON holds no bytes that are not UTF-8
	}
	return identity{
		Timeline: p.Timeline.ID(), Keyspace: p.Timeline.Keyspace, Target: targetText(p.Request.Target), Prefixes: encoded,
		Base: p.Base.Name(), Revision: p.Revision,
	}
}

func targetText(t backup.Target) string {
	switch {
	case t.Revision != 0:
		return fmt.Sprintf("revision %d", t.Revision)
	case !t.Time.IsZero():
		return "time " + t.Time.UTC().Format("2006-01-02T15:04:05.999999999Z")
	default:
		return "latest"
	}
}

// Describe says in words what the ID of an interrupted restore was about.
func Describe(id string) string {
	text, found := strings.CutPrefix(id, identityMagic)
	var other identity
	if !found || json.Unmarshal([]byte(text), &other) != nil {
		return id
	}
	what := fmt.Sprintf("a restore of the archive of %s (timeline %s) to %s", other.Keyspace, other.Timeline, other.Target)
	if len(other.Prefixes) > 0 {
		what += fmt.Sprintf(", of keys with %d prefixes", len(other.Prefixes))
	}
	return what
}

// New plans a restore from a catalog. Errors are sentences; backup.ErrOutside if the archive does not have what is
// asked for.
func New(ctx context.Context, a *backup.Archive, c *backup.Catalog, r Request) (*Plan, error) {
	r.Prefixes = slices.Clone(r.Prefixes)
	slices.Sort(r.Prefixes)
	r.Prefixes = slices.Compact(r.Prefixes)
	plan, err := a.Plan(ctx, c, r.Target)
	if err != nil {
		return nil, err
	}
	return complete(ctx, a, plan, r)
}

func complete(ctx context.Context, a *backup.Archive, plan backup.Plan, r Request) (*Plan, error) {
	head, err := a.BaseHead(ctx, plan.Base)
	if err != nil {
		return nil, fmt.Errorf("plan a restore: %w", err)
	}
	return &Plan{Plan: plan, Request: r, Floor: head.Compacted}, nil
}

// ErrGone: the archive no longer has what an interrupted restore was reading.
var ErrGone = errors.New("the archive no longer has the base that the interrupted restore was reading")

// Continue plans the rest of an interrupted restore, if it was one of the same request; same is false if
// it was another one.
func (p *Plan) Continue(ctx context.Context, a *backup.Archive, c *backup.Catalog, id string) (plan *Plan, same bool, err error) {
	var other identity
	text, found := strings.CutPrefix(id, identityMagic)
	if !found || json.Unmarshal([]byte(text), &other) != nil {
		return nil, false, nil
	}
	own := p.identity()
	if own.Timeline != other.Timeline || own.Keyspace != other.Keyspace || own.Target != other.Target || !slices.Equal(own.Prefixes, other.Prefixes) {
		return nil, false, nil
	}
	i := slices.IndexFunc(c.Bases, func(b backup.Base) bool { return b.Name() == other.Base })
	if i < 0 {
		return nil, true, ErrGone
	}
	// The same base again, even if there is a later one by now.
	trimmed := *c
	trimmed.Bases = c.Bases[i : i+1]
	again, err := a.Plan(ctx, &trimmed, backup.Target{Revision: other.Revision})
	if err != nil {
		return nil, true, err
	}
	plan, err = complete(ctx, a, again, p.Request)
	return plan, true, err
}

// End is where the keyspace is after the restore, if the archive's log ended in that state.
func (p *Plan) end(e backup.End) router.RestoreEnd {
	end := router.RestoreEnd{Revision: e.Revision, Compacted: e.Compacted, Leases: e.Leases, Auth: e.Auth}
	if p.Request.Bump > 0 {
		end.Revision += p.Request.Bump
		end.Compacted = end.Revision
	}
	return end
}

// wanted tells whether a key is one of those to restore.
func (p *Plan) wanted(key []byte) bool {
	if len(p.Request.Prefixes) == 0 {
		return true
	}
	for _, prefix := range p.Request.Prefixes {
		if bytes.HasPrefix(key, []byte(prefix)) {
			return true
		}
	}
	return false
}
