package auth

import (
	"context"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

type identity struct{}

func (identity) ClusterID() uint64             { return 1 }
func (identity) Self() router.Member           { return router.Member{ID: 2} }
func (identity) Term() uint64                  { return 3 }
func (identity) LastRevision() router.Revision { return 3 }

// The keyspace is ahead of what this frontend has seen.
func (identity) CurrentRevision(context.Context) (router.Revision, router.Revision, error) {
	return 4, 0, nil
}

func TestWhileAuthenticationIsOff(t *testing.T) {
	t.Parallel()
	s := New(identity{})
	st, err := s.AuthStatus(t.Context(), &pb.AuthStatusRequest{})
	if err != nil || st.Enabled || st.AuthRevision != 1 || st.Header.Revision != 4 {
		t.Errorf("AuthStatus = %v, %v", st, err)
	}
	if resp, err := s.AuthDisable(t.Context(), &pb.AuthDisableRequest{}); err != nil || resp.Header.MemberId != 2 {
		t.Errorf("AuthDisable = %v, %v", resp, err)
	}
	_, err = s.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "root", Password: "x"})
	if err != rpctypes.ErrGRPCAuthNotEnabled {
		t.Errorf("Authenticate = %v", err)
	}
}

// Every other RPC of the service is refused, and its text names the command.
func TestTheRestIsRefusedByName(t *testing.T) {
	t.Parallel()
	answered := map[string]bool{"AuthStatus": true, "AuthDisable": true, "Authenticate": true}
	seen := map[string]bool{}
	server := reflect.ValueOf(New(identity{}))
	for _, method := range pb.Auth_ServiceDesc.Methods {
		if answered[method.MethodName] {
			continue
		}
		call := server.MethodByName(method.MethodName)
		out := call.Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.New(call.Type().In(1).Elem())})
		err, _ := out[1].Interface().(error)
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s = %v, want Unimplemented", method.MethodName, err)
			continue
		}
		name, _, _ := strings.Cut(status.Convert(err).Message(), " is not")
		if seen[name] {
			t.Errorf("%s says %q, as another one does", method.MethodName, name)
		}
		seen[name] = true
	}
	if len(seen) != len(pb.Auth_ServiceDesc.Methods)-len(answered) {
		t.Errorf("%d calls refused", len(seen))
	}
}
