package privilege

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// must fails the test for a call that fails.
func (l *leaky) must(what string, err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("%s: %v", what, err)
	}
}

// as gives a context with a token, in the field that clients or gateways use.
func (l *leaky) as(token string) context.Context {
	return metadata.AppendToOutgoingContext(l.Context(), "token", token)
}

// useAuth turns authentication on, and makes each mistake that can be made with it.
func (l *leaky) useAuth() {
	l.Helper()
	ctx, auth := l.Context(), pb.NewAuthClient(l.conn)
	password, wrong, next := l.mark("password of root"), l.mark("wrong password"), l.mark("next password")
	_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: password})
	l.must("add a user", err)
	_, err = auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: wrong})
	l.failed("add a user twice", err)
	_, err = auth.UserAdd(ctx, &pb.AuthUserAddRequest{Password: wrong})
	l.failed("add a user without a name", err)
	_, err = auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "hashed", HashedPassword: wrong})
	l.said(err)
	_, err = auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "long", Password: wrong + strings.Repeat("x", 100)})
	l.said(err)
	_, err = auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	l.must("grant a role", err)
	_, err = auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
	l.must("enable authentication", err)

	for _, name := range []string{"root", "nobody"} {
		_, err = auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: name, Password: wrong})
		l.failed("authenticate with a wrong password", err)
	}
	l.post("/v3/auth/authenticate", fmt.Sprintf(`{"name":"root","password":%q}`, wrong), "")
	answer, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: password})
	l.must("authenticate", err)
	l.secrets["token of root"] = answer.Token

	kv := pb.NewKVClient(l.conn)
	for _, token := range []string{l.mark("wrong token"), l.mark("numbered token") + ".12", "eyJhbGciOiJub25lIn0." + l.mark("unsigned token") + ".x", answer.Token[:len(answer.Token)-2]} {
		_, err = kv.Range(l.as(token), &pb.RangeRequest{Key: []byte("key")})
		l.failed("a call with a wrong token", err)
		l.post("/v3/kv/range", `{"key":"a2V5"}`, token)
		l.post("/v3/kv/range", `{"key":"a2V5"}`, "Bearer "+token)
	}
	_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte("key")})
	l.failed("a call without a token", err)
	_, err = auth.UserChangePassword(l.as(answer.Token), &pb.AuthUserChangePasswordRequest{Name: "nobody", Password: next})
	l.failed("change nobody's password", err)
	_, err = auth.UserChangePassword(l.as(answer.Token), &pb.AuthUserChangePasswordRequest{Name: "root", Password: next})
	l.must("change a password", err)
	_, err = kv.Range(l.as(answer.Token), &pb.RangeRequest{Key: []byte("key")})
	l.said(err) // The token was the old password's.
	again, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: next})
	l.must("authenticate again", err)
	l.secrets["next token"] = again.Token
	l.post("/v3/kv/range", `{"key":"a2V5"}`, again.Token)
}

// useValues writes values, well and badly, as root; then authentication is turned off.
func (l *leaky) useValues() {
	l.Helper()
	ctx, kv, value := l.as(l.secrets["next token"]), pb.NewKVClient(l.conn), []byte(l.mark("value"))
	_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("key"), Value: value, PrevKv: true})
	l.must("put", err)
	for what, put := range map[string]*pb.PutRequest{
		"no key":           {Value: value},
		"no such lease":    {Key: []byte("key"), Value: value, Lease: 4711},
		"too large":        {Key: []byte("key"), Value: bytes.Repeat(value, 100_000)},
		"ignored value":    {Key: []byte("key"), Value: value, IgnoreValue: true},
		"no value to keep": {Key: []byte("other"), IgnoreValue: true},
	} {
		_, err := kv.Put(ctx, put)
		l.failed("put with "+what, err)
	}
	put := func() *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("key"), Value: value}}}
	}
	compare := &pb.Compare{Key: []byte("key"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: value}}
	_, err = kv.Txn(ctx, &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{put()}})
	l.must("a transaction", err)
	_, err = kv.Txn(ctx, &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{put(), put()}})
	l.failed("a transaction with a key twice", err)
	lease, err := pb.NewLeaseClient(l.conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
	l.must("grant a lease", err)
	election := v3electionpb.NewElectionClient(l.conn)
	won, err := election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("election"), Lease: lease.ID, Value: value})
	l.must("campaign", err)
	_, err = election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: won.Leader, Value: value})
	l.must("proclaim", err)
	_, err = election.Resign(ctx, &v3electionpb.ResignRequest{Leader: won.Leader})
	l.must("resign", err)
	_, err = election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: won.Leader, Value: value})
	l.failed("proclaim without a campaign", err)
	_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte("key")})
	l.must("range", err)
	_, err = pb.NewAuthClient(l.conn).AuthDisable(ctx, &pb.AuthDisableRequest{})
	l.must("disable authentication", err)
}

// useHostility sends what is no request, with secrets in it. (What the gateway cannot read it
// says to whoever sent it, as etcd does, so only the frontend's own texts are searched.)
func (l *leaky) useHostility() {
	l.Helper()
	value := l.secrets["value"]
	for _, body := range []string{
		`{"key":"a2V5","value":"` + value + ` not base64"}`, `{"key":"a2V5","value":"` + base64.StdEncoding.EncodeToString([]byte(value)),
		`{"` + value + `":1}`, value, `{"key":{"value":"` + value + `"}}`, strings.Repeat("[", 20_000) + value, "\x00" + value,
	} {
		for _, path := range []string{"/v3/kv/put", "/v3/kv/txn", "/v3/auth/authenticate", "/v3/auth/user/add", "/v3/lease/grant", "/v3/no/such"} {
			l.post(path, body, value)
		}
	}
	for _, method := range []string{pb.KV_Put_FullMethodName, pb.Auth_Authenticate_FullMethodName, "/etcdserverpb.KV/NoSuchMethod"} {
		// A length that is longer than the message.
		damaged := append([]byte{0x0a, 0x7f}, value...)
		err := l.conn.Invoke(l.as(value), method, damaged, &pb.PutResponse{}, rawBytes())
		l.failed("a damaged message to "+method, err)
	}
}

// raw sends bytes as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (raw) Unmarshal([]byte, any) error { return nil }

func rawBytes() grpc.CallOption { return grpc.ForceCodec(raw{}) }
