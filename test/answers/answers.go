// Package answers makes calls to servers of etcd's protocol by the names of their
// methods, and compares what a real etcd and tierd answer to the same call.
//
// It promises to know every method, since it reads them from the protocol's own
// description, and to let nothing differ that is not listed here with a reason:
// Refused holds the methods that tierd refuses by name, and compare.go the fields
// of a response that may differ.
package answers

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Methods are all methods of the protocol by their full names, as gRPC has them.
func Methods() map[string]protoreflect.MethodDescriptor {
	all := make(map[string]protoreflect.MethodDescriptor)
	for _, file := range []protoreflect.FileDescriptor{
		pb.File_rpc_proto, v3lockpb.File_v3lock_proto, v3electionpb.File_v3election_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				all[fmt.Sprintf("/%s/%s", service.FullName(), method.Name())] = method
			}
		}
	}
	return all
}

// NewMessage makes an empty message of a kind that the protocol describes.
func NewMessage(of protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	if err != nil {
		return nil, fmt.Errorf("find message %s: %w", of.FullName(), err)
	}
	return kind.New().Interface(), nil
}

// Refused are the methods that tierd refuses by name and etcd carries out, with
// the reason. To ask an etcd for them would end most tests.
func Refused() map[string]string {
	const (
		members = "frontends register themselves"
		format  = "frontends have no data format that a version could change"
		leader  = "frontends elect no raft leader"
	)
	return map[string]string{
		pb.Cluster_MemberAdd_FullMethodName:      members,
		pb.Cluster_MemberRemove_FullMethodName:   members,
		pb.Cluster_MemberUpdate_FullMethodName:   members,
		pb.Cluster_MemberPromote_FullMethodName:  members,
		pb.Maintenance_MoveLeader_FullMethodName: leader,
		pb.Maintenance_Downgrade_FullMethodName:  format,
	}
}
