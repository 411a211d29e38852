package hot

import (
	"context"
	"fmt"
	"time"
)

// ArchiveGood is how long a sign of life keeps the role of writing the archive.
const ArchiveGood = 5 * time.Second

// ArchiveProgress is how far an archive has come.
type ArchiveProgress struct {
	Epoch int64
	// Began and To are in milliseconds since 1970.
	Began, To int64
	Block     int64
	// Revision is 0 if the archive has to begin (again).
	Revision Revision
	Journal  int64
	Chain    []byte
}

// JournalEntry is something that happened to the keyspace without taking a revision.
type JournalEntry struct {
	Number   int64
	Kind     byte
	Revision Revision
	// Millis is when, in milliseconds since 1970.
	Millis            int64
	Lease, TTLSeconds int64
	Compacted         Revision
	Auth              []AuthField
}

// The kinds of entries.
const (
	JournalGrant   = 'g'
	JournalEnd     = 'e'
	JournalCompact = 'c'
	JournalMark    = 'm'
	JournalAuth    = 'a'
)

// JournalPage is a stretch of the journal and what was so when it was read.
type JournalPage struct {
	Revision, Compacted Revision
	Now                 int64
	// Last is the number of the last entry there is.
	Last    int64
	Lost    bool
	Entries []JournalEntry
}

// ClaimArchive takes the role of writing the archive, or shows a sign of life of its holder; taken
// is false if another token has it.
func (c *Client) ClaimArchive(ctx context.Context, token string) (p ArchiveProgress, taken bool, err error) {
	reply, err := c.read(ctx, scriptArchive, leadingRevision, "claim", token, ArchiveGood.Milliseconds())
	if err != nil {
		return p, false, err
	}
	d := decoder{rest: reply}
	d.revision()
	taken = d.byte() == 1
	p, err = d.archiveProgress()
	return p, taken, err
}

// KeepArchive shows a sign of life of the role's holder. ErrFenced.
func (c *Client) KeepArchive(ctx context.Context, token string) error {
	_, err := c.read(ctx, scriptArchive, leadingRevision, "keep", token)
	return err
}

// LookArchive tells how far the archive has come; none if there never was one.
func (c *Client) LookArchive(ctx context.Context) (p ArchiveProgress, current Revision, none bool, err error) {
	reply, err := c.read(ctx, scriptArchive, leadingRevision, "look", "")
	if err != nil {
		return p, 0, false, err
	}
	d := decoder{rest: reply}
	current = d.revision()
	if len(d.rest) == 0 {
		return p, current, true, d.end()
	}
	p, err = d.archiveProgress()
	return p, current, false, err
}

func (d *decoder) archiveProgress() (ArchiveProgress, error) {
	p := ArchiveProgress{Epoch: d.int8(), Began: d.int8(), Block: d.int8(), Revision: d.revision(), To: d.int8(), Journal: d.int8()}
	p.Chain, d.rest = d.rest, nil
	if err := d.end(); err != nil {
		return p, fmt.Errorf("archive: %w", err)
	}
	return p, nil
}

// ReadJournal reads the entries after one, at most so many. ErrFenced.
func (c *Client) ReadJournal(ctx context.Context, token string, after int64, most int) (JournalPage, error) {
	reply, err := c.read(ctx, scriptArchive, leadingRevision, "read", token, after, most)
	if err != nil {
		return JournalPage{}, err
	}
	d := decoder{rest: reply}
	page := JournalPage{Revision: d.revision(), Compacted: d.compacted(), Now: d.int8(), Last: d.int8(), Lost: d.byte() == 1}
	for len(d.rest) > 0 && !d.failed {
		page.Entries = append(page.Entries, d.journalEntry())
	}
	if err := d.end(); err != nil {
		return JournalPage{}, fmt.Errorf("archive: %w", err)
	}
	return page, nil
}

func (d *decoder) journalEntry() JournalEntry {
	number := d.int8()
	in := decoder{rest: d.text()}
	e := JournalEntry{Number: number, Kind: in.byte(), Revision: in.revision(), Millis: in.int8()}
	switch e.Kind {
	case JournalGrant, JournalEnd:
		e.Lease, e.TTLSeconds = int64(in.uint(8)), in.int8()
	case JournalCompact:
		e.Compacted = in.revision()
	case JournalAuth:
		var err error
		e.Auth, err = UnpackAuth(in.rest)
		in.rest, in.failed = nil, in.failed || err != nil
	}
	d.failed = d.failed || in.end() != nil
	return e
}

// AdvanceArchive notes how far the archive has come; the changes after kept are not dropped. ErrFenced.
func (c *Client) AdvanceArchive(ctx context.Context, token string, p ArchiveProgress, kept Revision) error {
	_, err := c.read(ctx, scriptArchive, leadingRevision, "advance", token, p.Block, int64(p.Revision), p.To, p.Journal, notNil(p.Chain), int64(kept))
	return err
}

// ReleaseArchive gives the role up.
func (c *Client) ReleaseArchive(ctx context.Context, token string) error {
	_, err := c.read(ctx, scriptArchive, leadingRevision, "release", token)
	return err
}
