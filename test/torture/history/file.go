package history

import (
	"encoding/json"
	"fmt"
	"os"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// message is a protocol message in a file: its type and its fields.
type message struct {
	Type   string          `json:"type"`
	Fields json.RawMessage `json:"fields"`
}

func pack(m proto.Message) (*message, error) {
	if m == nil {
		return nil, nil
	}
	fields, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	return &message{Type: string(m.ProtoReflect().Descriptor().FullName()), Fields: fields}, nil
}

func (m *message) unpack() (proto.Message, error) {
	if m == nil {
		return nil, nil
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(m.Type))
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", m.Type, err)
	}
	out := kind.New().Interface()
	if err := protojson.Unmarshal(m.Fields, out); err != nil {
		return nil, fmt.Errorf("decode %s: %w", m.Type, err)
	}
	return out, nil
}

// The forms of the types in a file: the fields that are not messages, as they are,
// and the messages beside them.
type (
	plainOperation Operation
	fileOperation  struct {
		plainOperation
		Request, Response *message
	}
	plainSession Session
	fileSession  struct {
		plainSession
		Request *message
	}
	plainDelivery Delivery
	fileDelivery  struct {
		plainDelivery
		Events []*message
	}
)

// MarshalJSON implements json.Marshaler.
func (o *Operation) MarshalJSON() ([]byte, error) {
	request, err := pack(o.Request)
	if err != nil {
		return nil, err
	}
	response, err := pack(o.Response)
	if err != nil {
		return nil, err
	}
	return json.Marshal(fileOperation{plainOperation(*o), request, response})
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Operation) UnmarshalJSON(data []byte) error {
	var f fileOperation
	err := json.Unmarshal(data, &f)
	if err != nil {
		return err
	}
	*o = Operation(f.plainOperation)
	if o.Request, err = f.Request.unpack(); err != nil {
		return err
	}
	o.Response, err = f.Response.unpack()
	return err
}

// MarshalJSON implements json.Marshaler.
func (s *Session) MarshalJSON() ([]byte, error) {
	request, err := pack(s.Request)
	if err != nil {
		return nil, err
	}
	return json.Marshal(fileSession{plainSession(*s), request})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Session) UnmarshalJSON(data []byte) error {
	var f fileSession
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	request, err := f.Request.unpack()
	if err != nil {
		return err
	}
	*s = Session(f.plainSession)
	s.Request, _ = request.(*pb.WatchCreateRequest)
	if s.Request == nil {
		return fmt.Errorf("a session holds a %T in place of its request", request)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (d Delivery) MarshalJSON() ([]byte, error) {
	f := fileDelivery{plainDelivery: plainDelivery(d)}
	for _, e := range d.Events {
		packed, err := pack(e)
		if err != nil {
			return nil, err
		}
		f.Events = append(f.Events, packed)
	}
	return json.Marshal(f)
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Delivery) UnmarshalJSON(data []byte) error {
	var f fileDelivery
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	*d = Delivery(f.plainDelivery)
	for _, packed := range f.Events {
		m, err := packed.unpack()
		if err != nil {
			return err
		}
		event, ok := m.(*mvccpb.Event)
		if !ok {
			return fmt.Errorf("a delivery holds a %T in place of an event", m)
		}
		d.Events = append(d.Events, event)
	}
	return nil
}

// Save writes the history to a file.
func (h *History) Save(path string) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the history: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("save the history: %w", err)
	}
	return nil
}

// Load reads a history that Save has written.
func Load(path string) (*History, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load a history: %w", err)
	}
	h := &History{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("decode the history in %s: %w", path, err)
	}
	return h, nil
}
