package cluster

import (
	"os"
	"testing"
	"time"
)

// removeBound is how long removing a folder may take while children of killed
// processes are still on their way out and may create a last file in it.
const removeBound = 5 * time.Second

// Folder makes a temporary folder with a short path, removed when the test ends.
// The folders of testing.TB carry the name of the test, which can be longer than
// the path of a unix socket may be (104 bytes on some systems).
func Folder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "tierd")
	if err != nil {
		tb.Fatalf("make a temporary folder: %v", err)
	}
	tb.Cleanup(func() {
		if err := Poll(removeBound, func() error { return os.RemoveAll(dir) }); err != nil {
			tb.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}
