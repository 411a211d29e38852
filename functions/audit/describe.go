package audit

import (
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

// Describe says what of a request may be told. Of a message that it does not know
// nothing is: what is told has to be chosen. The texts are the request's own, not
// copies.
func Describe(request any) Request {
	switch r := request.(type) {
	case *pb.RangeRequest:
		return Request{Key: r.Key, RangeEnd: r.RangeEnd, Revision: r.Revision}
	case *pb.PutRequest:
		return Request{Key: r.Key, Lease: r.Lease}
	case *pb.DeleteRangeRequest:
		return Request{Key: r.Key, RangeEnd: r.RangeEnd}
	case *pb.TxnRequest:
		return describeTxn(r)
	case *pb.CompactionRequest:
		return Request{Revision: r.Revision, Detail: flag(r.Physical, "physical")}
	case *pb.WatchCreateRequest:
		return Request{Key: r.Key, RangeEnd: r.RangeEnd, Revision: r.StartRevision}
	case *pb.LeaseGrantRequest:
		return Request{Lease: r.ID}
	case *pb.LeaseRevokeRequest:
		return Request{Lease: r.ID}
	case *pb.LeaseTimeToLiveRequest:
		return Request{Lease: r.ID, Detail: flag(r.Keys, "keys")}
	case *pb.LeaseKeepAliveRequest:
		return Request{Lease: r.ID}
	case *pb.HashKVRequest:
		return Request{Revision: r.Revision}
	case *pb.AlarmRequest:
		return Request{Detail: r.Action.String() + " " + r.Alarm.String()}
	case *v3lockpb.LockRequest:
		return Request{Key: r.Name, Lease: r.Lease}
	case *v3lockpb.UnlockRequest:
		return Request{Key: r.Key}
	}
	if told, ok := describeElection(request); ok {
		return told
	}
	return describeAuth(request)
}

// describeElection tells which election a call is about.
func describeElection(request any) (Request, bool) {
	of := func(l *v3electionpb.LeaderKey) (Request, bool) {
		return Request{Key: l.GetKey(), Lease: l.GetLease(), Revision: l.GetRev()}, true
	}
	switch r := request.(type) {
	case *v3electionpb.CampaignRequest:
		return Request{Key: r.Name, Lease: r.Lease}, true
	case *v3electionpb.ProclaimRequest:
		return of(r.Leader)
	case *v3electionpb.ResignRequest:
		return of(r.Leader)
	case *v3electionpb.LeaderRequest:
		return Request{Key: r.Name}, true
	}
	return Request{}, false
}

// describeAuth tells whom and which right a call of Auth is about.
func describeAuth(request any) Request {
	switch r := request.(type) {
	case *pb.AuthenticateRequest:
		return Request{Subject: r.Name}
	case *pb.AuthUserAddRequest:
		return Request{Subject: r.Name, Detail: flag(r.Options.GetNoPassword(), "no-password")}
	case *pb.AuthUserGetRequest:
		return Request{Subject: r.Name}
	case *pb.AuthUserDeleteRequest:
		return Request{Subject: r.Name}
	case *pb.AuthUserChangePasswordRequest:
		return Request{Subject: r.Name}
	case *pb.AuthUserGrantRoleRequest:
		return Request{Subject: r.User, Role: r.Role}
	case *pb.AuthUserRevokeRoleRequest:
		return Request{Subject: r.Name, Role: r.Role}
	case *pb.AuthRoleAddRequest:
		return Request{Role: r.Name}
	case *pb.AuthRoleGetRequest:
		return Request{Role: r.Role}
	case *pb.AuthRoleDeleteRequest:
		return Request{Role: r.Role}
	case *pb.AuthRoleGrantPermissionRequest:
		return describeGrant(r.Name, r.Perm)
	case *pb.AuthRoleRevokePermissionRequest:
		return Request{Role: r.Role, Key: r.Key, RangeEnd: r.RangeEnd}
	}
	return Request{}
}

func describeGrant(role string, p *authpb.Permission) Request {
	return Request{Role: role, Permission: p.GetPermType().String(), Key: p.GetKey(), RangeEnd: p.GetRangeEnd()}
}

func flag(set bool, name string) string {
	if set {
		return name
	}
	return ""
}

// describeTxn lists the parts of a transaction.
func describeTxn(r *pb.TxnRequest) Request {
	var told Request
	told.addTxn(r, "", 0)
	return told
}

// addTxn adds the parts of a transaction that lies at a depth of nesting. Whoever
// nests deeper than branchDepthMax is told no names of branches below.
func (told *Request) addTxn(r *pb.TxnRequest, branch string, depth int) {
	for _, c := range r.GetCompare() {
		told.add(Op{Kind: "compare", Branch: branch, Key: c.GetKey(), RangeEnd: c.GetRangeEnd()})
	}
	within := func(name string) string {
		if branch == "" {
			return name
		}
		if depth >= branchDepthMax {
			return branch
		}
		return branch + "/" + name
	}
	told.addOps(r.GetSuccess(), within("success"), depth)
	told.addOps(r.GetFailure(), within("failure"), depth)
}

func (told *Request) addOps(ops []*pb.RequestOp, branch string, depth int) {
	for _, op := range ops {
		switch {
		case op.GetRequestRange() != nil:
			told.add(Op{Kind: "range", Branch: branch, Key: op.GetRequestRange().Key, RangeEnd: op.GetRequestRange().RangeEnd})
		case op.GetRequestPut() != nil:
			told.add(Op{Kind: "put", Branch: branch, Key: op.GetRequestPut().Key})
		case op.GetRequestDeleteRange() != nil:
			told.add(Op{Kind: "delete", Branch: branch, Key: op.GetRequestDeleteRange().Key, RangeEnd: op.GetRequestDeleteRange().RangeEnd})
		case op.GetRequestTxn() != nil:
			told.addTxn(op.GetRequestTxn(), branch, depth+1)
		}
	}
}

func (told *Request) add(op Op) {
	if told.OpsTotal++; told.OpsTotal <= opsMax {
		told.Ops = append(told.Ops, op)
	}
}

// reads are the calls that only ask, by their full method.
var reads = map[string]bool{
	pb.KV_Range_FullMethodName: true, pb.KV_RangeStream_FullMethodName: true,
	pb.Lease_LeaseTimeToLive_FullMethodName: true, pb.Lease_LeaseLeases_FullMethodName: true,
	pb.Cluster_MemberList_FullMethodName: true,
	pb.Maintenance_Status_FullMethodName: true, pb.Maintenance_Hash_FullMethodName: true, pb.Maintenance_HashKV_FullMethodName: true,
	pb.Auth_AuthStatus_FullMethodName: true, pb.Auth_UserGet_FullMethodName: true, pb.Auth_UserList_FullMethodName: true,
	pb.Auth_RoleGet_FullMethodName: true, pb.Auth_RoleList_FullMethodName: true,
	pb.Watch_Watch_FullMethodName:   true,
	"/v3electionpb.Election/Leader": true, "/v3electionpb.Election/Observe": true,
	"/grpc.health.v1.Health/Check": true, "/grpc.health.v1.Health/Watch": true, "/grpc.health.v1.Health/List": true,
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      true,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
}

// IsRead says whether a call changes nothing, and is none of the exports: a snapshot is
// one, and is always told. request may be nil for a stream.
func IsRead(method string, request any) bool {
	switch r := request.(type) {
	case *pb.TxnRequest:
		return onlyReads(r)
	case *pb.AlarmRequest:
		return r.Action == pb.AlarmRequest_GET
	}
	return reads[method]
}

// onlyReads says whether a transaction changes nothing whichever branch it takes.
func onlyReads(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if op.GetRequestPut() != nil || op.GetRequestDeleteRange() != nil {
				return false
			}
			if nested := op.GetRequestTxn(); nested != nil && !onlyReads(nested) {
				return false
			}
		}
	}
	return true
}
