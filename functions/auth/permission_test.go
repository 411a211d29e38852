package auth

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	"pgregory.net/rapid"
)

// covers says, in the plainest way, whether permissions cover every key of [key, end)
// together: the keys at which one of them begins or ends, and those right after, stand
// for all keys up to the next one.
func covers(granted []*authpb.Permission, key, end []byte, what right) bool {
	type span struct{ begin, end []byte } // end nil is above all keys
	var spans []span
	of := func(key, end []byte) span {
		switch {
		case len(end) == 0:
			return span{key, append(bytes.Clone(key), 0)}
		case isAboveAll(end):
			return span{key, nil}
		}
		return span{key, end}
	}
	for _, p := range granted {
		if p.PermType == authpb.Permission_READWRITE || (p.PermType == authpb.Permission_WRITE) == (what == write) {
			spans = append(spans, of(p.Key, p.RangeEnd))
		}
	}
	asked := of(key, end)
	within := func(s span, key []byte) bool {
		return bytes.Compare(key, s.begin) >= 0 && (s.end == nil || bytes.Compare(key, s.end) < 0)
	}
	points := [][]byte{asked.begin}
	for _, s := range spans {
		points = append(points, s.begin, s.end)
	}
	for _, p := range points {
		if p != nil && within(asked, p) && !slices.ContainsFunc(spans, func(s span) bool { return within(s, p) }) {
			return false
		}
	}
	return true
}

// TestPermissionsAgainstTheModel: what is merged permits what the permissions cover, and
// nothing else.
func TestPermissionsAgainstTheModel(t *testing.T) {
	t.Parallel()
	keys := rapid.SampledFrom([]string{"a", "a\x00", "aa", "ab", "b", "b\xff", "c", "\x00", "\xff"})
	ends := rapid.SampledFrom([]string{"", "\x00", "a", "a\x00", "aa", "b", "b\x00", "c", "\xff", "\xff\xff"})
	bounds := rapid.Custom(func(t *rapid.T) [2]string {
		key, end := keys.Draw(t, "key"), ends.Draw(t, "end")
		if !isRange([]byte(key), []byte(end)) {
			end = ""
		}
		return [2]string{key, end}
	})
	rapid.Check(t, func(t *rapid.T) {
		roles := make(map[string]*authpb.Role)
		var names []string
		var all []*authpb.Permission
		for i := range rapid.IntRange(0, 4).Draw(t, "roles") {
			name := fmt.Sprint(i)
			role := &authpb.Role{Name: []byte(name)}
			for range rapid.IntRange(0, 4).Draw(t, "permissions") {
				b := bounds.Draw(t, "range")
				p := &authpb.Permission{Key: []byte(b[0]), RangeEnd: []byte(b[1]), PermType: authpb.Permission_Type(rapid.IntRange(0, 2).Draw(t, "type"))}
				role.KeyPermission = append(role.KeyPermission, p)
				all = append(all, p)
			}
			roles[name] = role
			names = append(names, name, "no such role")
		}
		merged := mergePermissions(names, roles)
		for range 20 {
			b := bounds.Draw(t, "asked")
			what := right(rapid.Bool().Draw(t, "write"))
			got := merged.allow([]byte(b[0]), []byte(b[1]), what)
			if want := covers(all, []byte(b[0]), []byte(b[1]), what); got != want {
				t.Fatalf("%q of %v (write %v): %v, want %v", b, all, what, got, want)
			}
		}
	})
}

func TestWhatIsARange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key, end string
		want     bool
	}{
		{"", "", false}, {"", "\x00", false}, {"a", "", true}, {"a", "\x00", true}, {"a", "b", true},
		{"b", "a", false}, {"a", "a", false}, {"\x00", "\x00", true}, {"a", "\x00\x00", false},
	} {
		if got := isRange([]byte(c.key), []byte(c.end)); got != c.want {
			t.Errorf("%q to %q: %v, want %v", c.key, c.end, got, c.want)
		}
	}
}
