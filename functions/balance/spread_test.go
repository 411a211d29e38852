package balance

import (
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	empty := box{limit: 1}
	for name, test := range map[string]struct {
		boxes  []box
		pieces []piece
		want   string
	}{
		"all have keys":           {[]box{empty, empty}, []piece{{from: "", keys: 10}, {from: "m", shard: 1, endpoint: 1, keys: 1}}, ""},
		"no keys at all":          {[]box{empty, empty}, []piece{{from: "", middle: "m"}}, ""},
		"one key":                 {[]box{empty, empty}, []piece{{from: "", keys: 1}}, ""},
		"one endpoint":            {[]box{empty}, []piece{{from: "", keys: 10, middle: "m"}}, ""},
		"split first":             {[]box{empty, empty}, []piece{{from: "", keys: 10, middle: "m"}}, "split at m"},
		"then move":               {[]box{empty, empty}, []piece{{from: "", keys: 5, middle: "c"}, {from: "m", keys: 5, middle: "p"}}, "move ..m 0>1"},
		"much more than a share":  {[]box{empty, empty, empty, empty}, []piece{{from: "", keys: 40, middle: "c"}, {from: "m", keys: 60, middle: "p"}}, "split at p"},
		"the last one of many":    {[]box{empty, empty, empty}, []piece{{from: "", keys: 50, middle: "c"}, {from: "m", shard: 1, endpoint: 1, keys: 40, middle: "p"}}, "split at c"},
		"not to one that drains":  {[]box{empty, {limit: 1, draining: true}}, []piece{{from: "", keys: 10, middle: "m"}}, ""},
		"not to one that is gone": {[]box{empty, {limit: 1, failure: "refused"}}, []piece{{from: "", keys: 10, middle: "m"}}, ""},
		"not what is gone":        {[]box{{limit: 1, failure: "refused"}, empty}, []piece{{from: "", keys: 10, middle: "m"}}, ""},
	} {
		_, after := scene(test.boxes, test.pieces)
		got := ""
		if d := Spread(after.Topology); d != nil {
			got = short(*d)
			if d.Reason == "" || !strings.Contains(d.Reason, "holds no keys") {
				t.Errorf("%s: the reason is %q", name, d.Reason)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
