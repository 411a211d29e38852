package hot

import "strconv"

// entryBytes is the length of an entry (ENTRY_FORMAT in lua/lib.lua): create 7,
// mod 7, version 7, lease 8, position 7, sub 3, length of the record 4.
const entryBytes = 43

// Stored names one stored version: its revision and where its record lies.
type Stored struct {
	Mod      Revision
	Position Position
	Sub      int64
	// Bytes is the length of the record.
	Bytes int
}

// name is the record's field in rec.
func (s *Stored) name() string {
	name := decimal(int64(s.Position))
	if s.Sub != 0 {
		name += ":" + decimal(s.Sub)
	}
	return name
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// entry is what the index says of one version of a key.
type entry struct {
	Stored
	create, version, lease int64
}

func (d *decoder) entry() entry {
	e := entry{create: d.int7()}
	e.Mod = Revision(d.int7())
	e.version, e.lease = d.int7(), int64(d.uint(8))
	e.Position, e.Sub, e.Bytes = Position(d.int7()), int64(d.uint(3)), int(d.uint(4))
	return e
}

// bare is the version without its value.
func (e *entry) bare(key []byte) Item {
	return Item{Mod: e.Mod, Record: Record{Create: e.create, Version: e.version, Lease: e.lease, Key: key}}
}
