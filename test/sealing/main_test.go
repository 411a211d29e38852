package sealing

import (
	"testing"

	"github.com/tierd/tierd/test/session"
)

func TestMain(m *testing.M) { session.VerifyTestMain(m) }
