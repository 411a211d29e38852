package wire

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

// sentinels names every exported sentinel of router. TestEverySentinel compares
// it with the source, so that a new one cannot be forgotten here.
var sentinels = map[string]struct {
	err  error
	code codes.Code
	text string
}{
	"ErrCompacted":        {router.ErrCompacted, codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted"},
	"ErrFutureRevision":   {router.ErrFutureRevision, codes.OutOfRange, "etcdserver: mvcc: required revision is a future revision"},
	"ErrKeyNotFound":      {router.ErrKeyNotFound, codes.InvalidArgument, "etcdserver: key not found"},
	"ErrLeaseNotFound":    {router.ErrLeaseNotFound, codes.NotFound, "etcdserver: requested lease not found"},
	"ErrLeaseExists":      {router.ErrLeaseExists, codes.FailedPrecondition, "etcdserver: lease already exists"},
	"ErrLeaseTTLTooLarge": {router.ErrLeaseTTLTooLarge, codes.OutOfRange, "etcdserver: too large lease TTL"},
	"ErrNoSpace":          {router.ErrNoSpace, codes.ResourceExhausted, "etcdserver: mvcc: database space exceeded"},
	"ErrCorrupt":          {router.ErrCorrupt, codes.DataLoss, "etcdserver: corrupt cluster"},
	"ErrTooManyKeys":      {router.ErrTooManyKeys, codes.InvalidArgument, "etcdserver: too many operations in txn request"},
	"ErrTooManyRequests":  {router.ErrTooManyRequests, codes.ResourceExhausted, "etcdserver: too many requests"},
	"ErrUnavailable":      {router.ErrUnavailable, codes.Unavailable, "etcdserver: no leader"},
	"ErrOutcomeUnknown":   {router.ErrOutcomeUnknown, codes.Unavailable, "etcdserver: request timed out"},
	"ErrInternal":         {router.ErrInternal, codes.Internal, "etcdserver: internal error"},
	"ErrStopped":          {router.ErrStopped, codes.Unavailable, "etcdserver: server stopped"},
}

func TestEverySentinel(t *testing.T) {
	t.Parallel()
	declared := exportedErrors(t, "../../router/errors.go")
	for _, name := range declared {
		want, ok := sentinels[name]
		if !ok {
			t.Errorf("router.%s has no row in this test", name)
			continue
		}
		for _, err := range []error{want.err, fmt.Errorf("put: shard s1: %w", want.err)} {
			got, ok := status.FromError(Error(err))
			if !ok || got.Code() != want.code || got.Message() != want.text {
				t.Errorf("Error(%v) = %v %q, want %v %q", err, got.Code(), got.Message(), want.code, want.text)
			}
		}
	}
	if len(declared) != len(sentinels) {
		t.Errorf("router declares %d sentinels, the test knows %d", len(declared), len(sentinels))
	}
}

func exportedErrors(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range parsed.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.IsExported() && strings.HasPrefix(name.Name, "Err") {
					names = append(names, name.Name)
				}
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("no exported error found: the test reads the wrong file")
	}
	return names
}

func TestErrorPrefersTheCarefulRow(t *testing.T) {
	t.Parallel()
	both := fmt.Errorf("%w: %w", router.ErrUnavailable, router.ErrOutcomeUnknown)
	if got := Error(both); !errors.Is(got, rpctypes.ErrGRPCTimeout) {
		t.Errorf("unavailable and unknown = %v, want the unknown one", got)
	}
	timedOut := fmt.Errorf("%w: %w", router.ErrOutcomeUnknown, context.DeadlineExceeded)
	if got := status.Code(Error(timedOut)); got != codes.Unavailable {
		t.Errorf("unknown outcome at the deadline = %v: the client would repeat the write", got)
	}
}

func TestErrorPassesStatusesThrough(t *testing.T) {
	t.Parallel()
	own := status.Error(codes.Unimplemented, "not here")
	if got := Error(own); got != own {
		t.Errorf("a status became %v", got)
	}
	wrapped := fmt.Errorf("member add: %w", own)
	if s := status.Convert(Error(wrapped)); s.Code() != codes.Unimplemented || s.Message() != "not here" {
		t.Errorf("a wrapped status became %v", s)
	}
	if once := Error(router.ErrUnavailable); Error(once).Error() != once.Error() {
		t.Error("translating twice changed the text")
	}
	if Error(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestErrorOfContexts(t *testing.T) {
	t.Parallel()
	if got := status.Code(Error(fmt.Errorf("range: %w", context.Canceled))); got != codes.Canceled {
		t.Errorf("canceled = %v", got)
	}
	if got := status.Code(Error(context.DeadlineExceeded)); got != codes.DeadlineExceeded {
		t.Errorf("deadline = %v", got)
	}
}

func TestErrorKeepsTheCauseForTheLog(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial unix: connection refused")
	err := Error(fmt.Errorf("%w: %w", router.ErrUnavailable, cause))
	if !errors.Is(err, cause) || !errors.Is(err, router.ErrUnavailable) {
		t.Errorf("%v has lost its cause", err)
	}
	if strings.Contains(err.Error(), "refused") {
		t.Errorf("the client would read %q", err.Error())
	}
	if logged := errors.Unwrap(Error(fmt.Errorf("lock: %w", err))); logged == nil || !strings.Contains(logged.Error(), "refused") {
		t.Errorf("the cause of an error that passes twice is logged as %v", logged)
	}
	unknown := Error(errors.New("surprise"))
	if s := status.Convert(unknown); s.Code() != codes.Unavailable || s.Message() != "etcdserver: surprise" {
		t.Errorf("an unclassified error became %v", s)
	}
}
