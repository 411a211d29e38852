package endpoint

import (
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// authTagBytes is how much longer the field tags of auth requests are in a proposal
	// than those of others.
	authTagBytes = 1
	// hashBytes is the length of a bcrypt hash as etcd proposes it, in base64.
	hashBytes = 80
)

// authSize is writeSize for what concerns users and roles. Etcd proposes the hash of a
// password in its place.
func authSize(req any) int {
	var proposed proto.Message
	switch r := req.(type) {
	case *pb.AuthUserAddRequest:
		if r.Options.GetNoPassword() {
			proposed = r
			break
		}
		proposed = &pb.AuthUserAddRequest{Name: r.Name, Options: r.Options, HashedPassword: strings.Repeat("h", hashBytes)}
	case *pb.AuthUserChangePasswordRequest:
		if r.Password == "" {
			proposed = r
			break
		}
		proposed = &pb.AuthUserChangePasswordRequest{Name: r.Name, HashedPassword: strings.Repeat("h", hashBytes)}
	case *pb.AuthUserDeleteRequest, *pb.AuthUserGetRequest, *pb.AuthUserGrantRoleRequest, *pb.AuthUserRevokeRoleRequest,
		*pb.AuthRoleAddRequest, *pb.AuthRoleDeleteRequest, *pb.AuthRoleGetRequest,
		*pb.AuthRoleGrantPermissionRequest, *pb.AuthRoleRevokePermissionRequest:
		proposed = r.(proto.Message)
	default:
		return 0
	}
	return proposalBytes + authTagBytes + protowire.SizeBytes(proto.Size(proposed))
}
