package wire

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

// row gives one sentinel its gRPC status.
type row struct {
	sentinel error
	status   error
	// failure says that the sentinel reports a failure of the service, not an
	// answer to the request: its cause is kept for the log (see Failure).
	failure bool
}

// table is searched from the top with errors.Is, so an error that carries two
// sentinels gets the more careful one: an unknown outcome before everything
// that promises that nothing was done, and the context's errors last, because
// the sentinels often wrap them as their cause.
//
// ErrUnavailable becomes etcd's "no leader": of etcd's texts for "come back
// later" it is the one that etcd itself only sends before it has proposed
// anything, so callers that know it may retry anything. Client libraries retry
// reads and resume streams on it (its code is Unavailable) and never resend a
// write by themselves, which is right even if the promise behind ErrUnavailable
// were broken.
//
// ErrOutcomeUnknown becomes etcd's "request timed out", which etcd sends when a
// proposal may or may not have been applied. It must not be DeadlineExceeded:
// the Go client repeats any call, writes included, that comes back with that
// code before its own deadline.
var table = [...]row{
	{router.ErrInternal, status.Error(codes.Internal, "etcdserver: internal error"), true},
	{router.ErrOutcomeUnknown, rpctypes.ErrGRPCTimeout, true},
	{router.ErrCorrupt, rpctypes.ErrGRPCCorrupt, true},
	{router.ErrCompacted, rpctypes.ErrGRPCCompacted, false},
	{router.ErrFutureRevision, rpctypes.ErrGRPCFutureRev, false},
	{router.ErrKeyNotFound, rpctypes.ErrGRPCKeyNotFound, false},
	{router.ErrLeaseNotFound, rpctypes.ErrGRPCLeaseNotFound, false},
	{router.ErrLeaseExists, rpctypes.ErrGRPCLeaseExist, false},
	{router.ErrLeaseTTLTooLarge, rpctypes.ErrGRPCLeaseTTLTooLarge, false},
	{router.ErrNoSpace, rpctypes.ErrGRPCNoSpace, false},
	{router.ErrTooManyKeys, rpctypes.ErrGRPCTooManyOps, false},
	{router.ErrTooManyRequests, rpctypes.ErrGRPCRequestTooManyRequests, false},
	{router.ErrUnavailable, rpctypes.ErrGRPCNoLeader, true},
	{router.ErrStopped, rpctypes.ErrGRPCStopped, false},
	{context.Canceled, rpctypes.ErrGRPCCanceled, false},
	{context.DeadlineExceeded, rpctypes.ErrGRPCDeadlineExceeded, false},
}

// Failure is an error with a gRPC status for the client and a cause for the
// operator's log. Only the status crosses the wire.
type Failure struct {
	status *status.Status
	cause  error
}

// Error is the text that the client gets.
func (f *Failure) Error() string { return f.status.Message() }

// GRPCStatus is what the gRPC server sends.
func (f *Failure) GRPCStatus() *status.Status { return f.status }

// Unwrap is the error as router returned it.
func (f *Failure) Unwrap() error { return f.cause }

// Is makes errors.Is compare with the values of rpctypes by code and text.
func (f *Failure) Is(target error) bool { return errors.Is(f.status.Err(), target) }

// Error turns an error of router into the gRPC status that etcd would send. An
// error that carries a status already keeps it. What the table does not know is,
// by router's contract, a failure of the hot tier before anything was changed,
// and is Unavailable with its own text. nil stays nil.
//
// Where the client's context still lives, Canceled and DeadlineExceeded would
// mislead it (see table); package endpoint corrects those for all methods.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if done := (*Failure)(nil); errors.As(err, &done) {
		return done // its cause stays the first one
	}
	for _, r := range table {
		if !errors.Is(err, r.sentinel) {
			continue
		}
		if r.failure {
			return &Failure{status: status.Convert(r.status), cause: err}
		}
		return r.status
	}
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		if own, ok := carrier.(error); ok {
			return own
		}
	}
	return &Failure{status: status.New(codes.Unavailable, "etcdserver: "+err.Error()), cause: err}
}
