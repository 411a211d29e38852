package router

import (
	"bytes"
	"testing"

	"github.com/tierd/tierd/tiers/hot"
)

// FuzzShardMap: whatever the sequencer keeps is refused, or is a map by which every key has one
// owner with a place, and any span is divided without a gap.
func FuzzShardMap(f *testing.F) {
	f.Add([]byte(`{"ranges":[{"from":"","shard":0},{"from":"bQ==","shard":3}],"places":{"0":0,"3":1}}`), int64(2), "endpoint:1", `{"url":"redis://a"}`, []byte("k"))
	f.Add([]byte(`{"ranges":[{"from":"","shard":1},{"from":"YQ==","shard":2},{"from":"YQ==","shard":3}],"places":{"1":0}}`), int64(9), "move", "{}", []byte{})
	f.Add([]byte(`{"ranges":[{"from":""},{"from":"eg=="},{"from":"YQ=="}],"afterFirst":true}`), int64(0), "endpoint:x", "", []byte("b"))
	f.Add([]byte(`{"ranges":[{"from":"","shard":70000}],"places":{"-1":-1}}`), int64(-5), "", "", []byte{0xff})
	f.Add([]byte(`{"ranges":[{}]}`), int64(1), "", "", []byte("k"))
	f.Add([]byte(`null`), int64(1), "endpoint:-1", "null", []byte{0})
	f.Fuzz(func(t *testing.T, text []byte, since int64, name, value string, key []byte) {
		m, err := readMap([]hot.MapVersion{{Epoch: firstEpoch + 1, Since: Revision(since), Text: text}}, map[string]string{name: value})
		if err != nil {
			return
		}
		for _, at := range []Revision{0, 1, Revision(since), Revision(since) + 1} {
			v := m.at(at)
			if _, placed := v.Places[v.owner(key)]; !placed {
				t.Fatalf("key %x lies on shard %d, which has no place: %s", key, v.owner(key), text)
			}
			pieces := v.split(hot.FromSpan(key))
			if len(pieces) == 0 || !bytes.Equal(pieces[0].span.First(), key) {
				t.Fatalf("from %x on there are %+v: %s", key, pieces, text)
			}
		}
		m.places()
	})
}
