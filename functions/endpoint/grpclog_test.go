package endpoint

import (
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/grpclog"
)

func TestGRPCLog(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	var log grpclog.LoggerV2 = grpcLog{slog.New(slog.NewTextHandler(&out, nil))}
	log.Infof("noise %d", 1)
	log.Warningln("noise")
	log.Errorln("lost a", "connection")
	if got := out.String(); strings.Contains(got, "noise") || !strings.Contains(got, `level=WARN msg=grpc text="lost a connection"`) {
		t.Errorf("logged %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("Fatal returned")
		}
	}()
	log.Fatal("a mistake")
}
