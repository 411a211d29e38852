package audit

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The format of a line.
func TestLine(t *testing.T) {
	t.Parallel()
	e := &Entry{
		Event: EventCall, User: "alice", CommonName: "alice.example", Address: "192.0.2.1:4711", Gateway: true,
		Method: "/etcdserverpb.KV/Txn", Ended: true, Code: codes.PermissionDenied, Took: 1234567 * time.Nanosecond,
		Error: "etcdserver: permission denied", member: "2e12", sequence: 7, time: time.Unix(1_700_000_000, 123_456_789),
		Request: Describe(&pb.TxnRequest{
			Compare: []*pb.Compare{{Key: []byte("a"), TargetUnion: &pb.Compare_Value{Value: []byte("SECRET")}}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte{0xff}, Value: []byte("SECRET")}}}},
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}}}}}}}},
		}),
	}
	const want = `{"time":"2023-11-14T22:13:20.123456Z","seq":7,"member":"2e12","event":"call","user":"alice",` +
		`"common_name":"alice.example","address":"192.0.2.1:4711","gateway":true,"method":"/etcdserverpb.KV/Txn","ops_total":3,` +
		`"ops":[{"op":"compare","key":"a"},{"op":"put","branch":"success","key_base64":"/w=="},` +
		`{"op":"delete","branch":"failure/success","key":"k","range_end":"l"}],` +
		`"code":"PermissionDenied","error":"etcdserver: permission denied","seconds":0.001235}` + "\n"
	if got := string(e.appendTo(nil)); got != want {
		t.Errorf("the line is\n%swant\n%s", got, want)
	}
	settled := *e
	settled.Request = e.Request.Settled()
	if got := string(settled.appendTo(nil)); got != want {
		t.Errorf("settled it is\n%s", got)
	}
}

// FuzzLine: whatever a client sends, a line is one line, JSON, and bounded; and it tells
// what fits.
func FuzzLine(f *testing.F) {
	f.Add([]byte("key"), "user", "error")
	f.Add([]byte("\"\\\n\x00\u2028"), "\xff", "é")
	f.Add([]byte(strings.Repeat("é", textBytesMax)), strings.Repeat("x", textBytesMax+1), "\u007f")
	f.Add([]byte(strings.Repeat("x", textBytesMax-1)+"€€"), "\U0001f600", "</script>")
	f.Fuzz(func(t *testing.T, key []byte, user, text string) {
		const bytesMax = 16 << 10
		e := &Entry{Event: EventCall, User: user, CommonName: text, Error: text, Ended: true, Request: Request{
			Key: key, RangeEnd: key, Subject: user, Role: text, Ops: []Op{{Kind: "put", Key: key}}, OpsTotal: 1,
		}}
		line := e.appendTo(nil)
		if len(line) > bytesMax || strings.Count(string(line), "\n") != 1 || !utf8.Valid(line) {
			t.Fatalf("%d bytes: %q", len(line), line)
		}
		var told struct {
			Key    string `json:"key"`
			Base64 string `json:"key_base64"`
			Bytes  int    `json:"key_bytes"`
		}
		if err := json.Unmarshal(line, &told); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		got := told.Key
		if told.Base64 != "" {
			decoded, err := base64.StdEncoding.DecodeString(told.Base64)
			if err != nil {
				t.Fatal(err)
			}
			got = string(decoded)
		}
		if !strings.HasPrefix(string(key), got) || told.Bytes == 0 && got != string(key) || told.Bytes != 0 && told.Bytes != len(key) {
			t.Fatalf("%q is told as %s", key, line)
		}
	})
}

// FuzzDescribe: no request makes the description fail, or the line too long, whichever message
// its bytes are taken for.
func FuzzDescribe(f *testing.F) {
	kinds := []proto.Message{
		&pb.TxnRequest{}, &pb.RangeRequest{}, &pb.PutRequest{}, &pb.DeleteRangeRequest{}, &pb.WatchRequest{}, &pb.WatchCreateRequest{}, &pb.LeaseGrantRequest{},
		&pb.AlarmRequest{}, &pb.AuthRoleGrantPermissionRequest{}, &pb.AuthUserAddRequest{}, &v3lockpb.LockRequest{}, &v3electionpb.ProclaimRequest{},
	}
	txn, err := proto.Marshal(&pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}, {}}})
	if err != nil {
		f.Fatal(err)
	}
	for kind := range kinds {
		f.Add(uint8(kind), txn)
		f.Add(uint8(kind), []byte{0x0a, 0x02, 0x0a, 0x00})
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		const bytesMax = 64 << 10
		request := kinds[int(kind)%len(kinds)].ProtoReflect().New().Interface()
		if proto.Unmarshal(data, request) != nil {
			return
		}
		e := &Entry{Event: EventCall, Request: Describe(request)}
		IsRead(pb.KV_Txn_FullMethodName, request)
		if line := e.appendTo(nil); len(line) > bytesMax || !json.Valid(line) {
			t.Fatalf("%d bytes: %.1000s", len(line), line)
		}
	})
}

// mark is in every field that may hold a secret.
const mark = "MARK-8e1f"

// fill puts mark into all texts and bytes of a message that are not on the list of what
// may be told.
func fill(m protoreflect.Message, depth int) {
	told := map[protoreflect.Name]bool{"key": true, "range_end": true, "name": true, "role": true, "user": true}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		text := mark
		if told[field.Name()] {
			text = "told"
		}
		var value protoreflect.Value
		switch field.Kind() {
		case protoreflect.StringKind:
			value = protoreflect.ValueOfString(text)
		case protoreflect.BytesKind:
			value = protoreflect.ValueOfBytes([]byte(text))
		case protoreflect.MessageKind:
			if depth == 0 {
				continue
			}
			inner := m.NewField(field)
			if field.IsList() {
				inner.List().Append(inner.List().NewElement())
				fill(inner.List().Get(0).Message(), depth-1)
			} else if !field.IsMap() {
				fill(inner.Message(), depth-1)
			}
			value = inner
		default:
			continue
		}
		if field.IsList() && field.Kind() != protoreflect.MessageKind {
			list := m.NewField(field).List()
			list.Append(value)
			value = protoreflect.ValueOfList(list)
		}
		m.Set(field, value)
	}
}

// No message of etcd's services has its values, passwords or tokens told, whichever fields
// it has: what is not a key, a range's end or the name of a user or role is not.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	seen := 0
	protoregistry.GlobalTypes.RangeMessages(func(kind protoreflect.MessageType) bool {
		name := string(kind.Descriptor().FullName())
		if !strings.HasPrefix(name, "etcdserverpb.") && !strings.HasPrefix(name, "v3lockpb.") && !strings.HasPrefix(name, "v3electionpb.") {
			return true
		}
		seen++
		m := kind.New()
		fill(m, 4)
		e := &Entry{Request: Describe(m.Interface())}
		if line := string(e.appendTo(nil)); strings.Contains(line, mark) {
			t.Errorf("%s is told as %s", name, line)
		}
		return true
	})
	if seen < 50 {
		t.Errorf("%d messages only", seen)
	}
}

// Each call of Auth that changes something says whom it is about.
func TestAuthIsTold(t *testing.T) {
	t.Parallel()
	for want, request := range map[string]proto.Message{
		`"subject":"u"`:            &pb.AuthenticateRequest{Name: "u", Password: mark},
		`"subject":"v"`:            &pb.AuthUserAddRequest{Name: "v", Password: mark, HashedPassword: mark},
		`"subject":"w"`:            &pb.AuthUserChangePasswordRequest{Name: "w", Password: mark},
		`"subject":"u","role":"r"`: &pb.AuthUserGrantRoleRequest{User: "u", Role: "r"},
		`"key":"a","range_end":"b","role":"r","permission":"READWRITE"`: &pb.AuthRoleGrantPermissionRequest{
			Name: "r", Perm: &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("a"), RangeEnd: []byte("b")}},
	} {
		e := &Entry{Request: Describe(request)}
		if line := string(e.appendTo(nil)); !strings.Contains(line, want) || strings.Contains(line, mark) {
			t.Errorf("%s has no %s", line, want)
		}
	}
}

// A transaction is told in bounded time and space, however it is made.
func TestHugeTransactions(t *testing.T) {
	t.Parallel()
	deep := &pb.TxnRequest{}
	for range 5000 {
		deep = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: deep}}},
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: make([]byte, 1000)}}}}}
	}
	told := Describe(deep)
	if told.OpsTotal != 5000 || len(told.Ops) != opsMax {
		t.Errorf("%d of %d operations are told", len(told.Ops), told.OpsTotal)
	}
	e := &Entry{Request: told}
	if size := len(e.appendTo(nil)); size > 64<<10 {
		t.Errorf("the line has %d bytes", size)
	}
	if IsRead(pb.KV_Txn_FullMethodName, deep) {
		t.Error("it is taken for a read")
	}
}

func BenchmarkRecord(b *testing.B) {
	e := &Entry{Event: EventCall, User: "alice", Address: "192.0.2.1:4711", Method: "/etcdserverpb.KV/Put", Ended: true,
		Request: Describe(&pb.PutRequest{Key: []byte("/registry/pods/default/pod-12345")}), member: "2e12"}
	var line []byte
	for b.Loop() {
		line = e.appendTo(line[:0])
	}
}
