package hot

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// storedRecord lays a record out as docs/formats.md says.
func storedRecord(flags byte, events int, lease int64, key, value string) []byte {
	b := append([]byte{flags}, byte(events>>16), byte(events>>8), byte(events))
	b = append(b, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3) // create, version
	b = binary.BigEndian.AppendUint64(b, uint64(lease))
	b = append(b, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2) // what it replaced
	b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
	return append(append(b, key...), value...)
}

// FuzzRecord: whatever lies in Redis is a record or an error, and what a record
// says lies within it.
func FuzzRecord(f *testing.F) {
	f.Add(storedRecord(0, 1, 0, "key", "value"))
	f.Add(storedRecord(1, 0, -1, "\x00\xff", ""))
	f.Add(storedRecord(0, 1<<24-1, 1<<62, "", ""))
	f.Add(storedRecord(2, 1, 0, "key", "sealed"))
	f.Add([]byte{})
	f.Add(storedRecord(0, 1, 0, "key", "value")[:recordHeaderBytes+1])
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			if len(data) >= recordHeaderBytes && data[0] <= 2 && len(data)-recordHeaderBytes >= int(binary.BigEndian.Uint32(data[43:47])) {
				t.Fatalf("%x is refused: %v", data, err)
			}
			return
		}
		if !bytes.Equal(append(bytes.Clone(r.Key), r.Value...), data[recordHeaderBytes:]) {
			t.Fatalf("%x holds %x and %x", data, r.Key, r.Value)
		}
		if r.Create < 0 || r.Version < 0 || r.ReplacedMod < 0 || r.Events < 0 || r.Deleted != (data[0] == 1) || r.Sealed != (data[0] == 2) {
			t.Fatalf("%x decodes to %+v", data, r)
		}
	})
}

// replies are all decoders of scripts' replies.
func replies() []func(d *decoder) {
	calls := []LeaseCall{GrantLease(1, 2), KeepAliveLease(1), DescribeLease(1, true), DescribeLease(1, false), ListLeases(0), DueLeases(9)}
	span := FromSpan([]byte{0})
	reads := []Read{
		PageRead(span, PageOptions{}), PageRead(span, PageOptions{KeysOnly: true, Count: true}), CountRead(span, 0, EpochAny, Cursor{}),
	}
	transaction := &Transaction{
		Then: []Operation{Put([]byte("a"), []byte("v"), 0, WantPrevious), Get([]byte("a")), Delete(KeySpan([]byte("a")), WantPrevious)},
		Else: []Operation{Delete(span, 0), Revoke(1, false)},
	}
	all := []func(d *decoder){
		func(d *decoder) { d.event() },
		func(d *decoder) { d.transaction(transaction) },
		func(d *decoder) { d.entry() },
		func(d *decoder) { d.journalEntry() },
		func(d *decoder) { d.cuts(d.length()) },
		func(d *decoder) { _, _ = d.archiveProgress() },
	}
	for _, call := range calls {
		all = append(all, func(d *decoder) { d.leaseResult(call) })
	}
	for _, read := range reads {
		all = append(all, func(d *decoder) { d.readResult(read) })
	}
	return all
}

// FuzzReplies: no reply of Redis makes a decoder panic, read past its end, or
// reserve more memory than the reply itself could fill.
func FuzzReplies(f *testing.F) {
	all := replies()
	item := append([]byte{0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 55}, storedRecord(0, 1, 0, "key", "value")...)
	for kind := range all {
		f.Add(uint8(kind), item)
		f.Add(uint8(kind), bytes.Repeat([]byte{0xff}, 60))
		f.Add(uint8(kind), make([]byte, 200))
		f.Add(uint8(kind), append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9, 1}, item...))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		d := &decoder{rest: data}
		before := len(data)
		all[int(kind)%len(all)](d)
		if len(d.rest) > before {
			t.Fatalf("%d bytes left of %d", len(d.rest), before)
		}
	})
}

// FuzzMap: whatever the hash of the shard map holds is a map's versions and texts, or an error.
func FuzzMap(f *testing.F) {
	f.Add("2", "17:{}", "endpoint:1", "{}")
	f.Add("-1", "x", "", "")
	f.Add("9223372036854775808", "1:", "move", "{}")
	f.Fuzz(func(t *testing.T, name, text, other, otherText string) {
		all := map[string]string{name: text, other: otherText}
		versions, texts, err := parseMap(all)
		if err == nil && len(versions)+len(texts) != len(all) {
			t.Fatalf("%q is %v and %v", all, versions, texts)
		}
	})
}

// FuzzAuthChange: a change of auth data is taken for what packs to it, or refused.
func FuzzAuthChange(f *testing.F) {
	f.Add(PackAuth([]AuthField{{Name: "user:root", Value: []byte("value")}, {Name: "role:x", Removed: true}}))
	f.Add([]byte{0, 0, 0, 1, 2, 0, 0, 0, 0, 'a'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, packed []byte) {
		fields, err := UnpackAuth(packed)
		if err == nil && !bytes.Equal(PackAuth(fields), packed) {
			t.Fatalf("%x is taken for %+v", packed, fields)
		}
	})
}

// FuzzCheck: what INFO says never ends the process; a server that says too little is refused.
func FuzzCheck(f *testing.F) {
	f.Add("redis_version:7.0.15\r\nrole:master\r\n")
	f.Add("valkey_version:8.0.1\nredis_version:7.2.4\ncluster_enabled:1\n")
	f.Add(":\n::\nredis_version:\n")
	f.Fuzz(func(t *testing.T, text string) {
		info := parseInfo(text)
		if report, err := checkVersion(info); err == nil && report.Version == "" {
			t.Fatalf("%q is fit", text)
		}
		_ = checkRole(info, false) // an answer either way
	})
}
