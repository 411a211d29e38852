package audit

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/grpc/codes"
)

// The events.
const (
	// EventBegin and EventEnd are the first and the last line of a process.
	EventBegin = "begin"
	EventEnd   = "end"
	// EventLost says how many lines before it are missing.
	EventLost = "lost"
	// EventCall is a call that has ended, a stream that sends one answer included.
	EventCall = "call"
	// EventStreamBegin and EventStreamEnd are those of an endless stream.
	EventStreamBegin = "stream-begin"
	EventStreamEnd   = "stream-end"
	// EventWatchCreate is the answer to the creation of a watch, EventWatchCancel the
	// end of one, whoever ended it.
	EventWatchCreate = "watch-create"
	EventWatchCancel = "watch-cancel"
)

const (
	// textBytesMax bounds each text of a line; how long a longer one is, is told.
	textBytesMax = 256
	// opsMax bounds how many compares and operations of a transaction are told.
	opsMax = 32
	// branchDepthMax bounds how deep the names of nested branches go.
	branchDepthMax = 8
)

// Entry is what a line says. Empty fields are left out.
type Entry struct {
	Event string
	// User is the etcd user, CommonName that of the client's certificate.
	User, CommonName, Address string
	// Gateway says that the call came through the JSON gateway.
	Gateway bool
	Method  string
	Request
	// Ended says that Code and Took are known: those of the call or stream.
	Ended bool
	Code  codes.Code
	Took  time.Duration
	// Error is the text that the client got with a code that is not OK.
	Error string
	// Stream tells the lines of one stream from those of others of this process.
	Stream uint64
	// WatchID is that of a watch's event; HasWatchID tells 0 from none.
	WatchID    int64
	HasWatchID bool
	// Messages is how many a stream has received.
	Messages int
	// Lost is how many lines are missing.
	Lost uint64

	member   string
	sequence uint64
	time     time.Time
}

// Request is what is told of a request: where it reads or writes, never what.
type Request struct {
	Key, RangeEnd []byte
	// Revision is the one asked for; Lease the lease concerned.
	Revision, Lease int64
	// Subject is the user that a call of Auth is about, Role the role, Permission the
	// kind of the right.
	Subject, Role, Permission string
	// Detail is what else tells one call from another, such as an alarm's action.
	Detail string
	// Ops are the compares and operations of a transaction, the first opsMax of them;
	// OpsTotal is how many there are.
	Ops      []Op
	OpsTotal int

	// settled is all of the above as the line has it.
	settled []byte
}

// Settled is r without a hold on the request that it was made of, and of bounded size.
func (r Request) Settled() Request { return Request{settled: r.appendTo(nil)} }

// Op is a part of a transaction.
type Op struct {
	// Kind is "compare", "range", "put" or "delete"; Branch "success" or "failure",
	// with those of nested transactions after a slash, and empty for a compare.
	Kind, Branch  string
	Key, RangeEnd []byte
}

// appendTo appends the line.
func (e *Entry) appendTo(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, e.sequence, 10)
	b = text(b, "member", e.member)
	b = text(b, "event", e.Event)
	b = text(b, "user", e.User)
	b = text(b, "common_name", e.CommonName)
	b = text(b, "address", e.Address)
	if e.Gateway {
		b = append(b, `,"gateway":true`...)
	}
	b = text(b, "method", e.Method)
	b = e.Request.appendTo(b)
	b = count(b, "stream", int64(e.Stream))
	if e.HasWatchID {
		b = append(b, `,"watch_id":`...)
		b = strconv.AppendInt(b, e.WatchID, 10)
	}
	b = count(b, "messages", int64(e.Messages))
	b = count(b, "lost", int64(e.Lost))
	if e.Ended {
		b = text(b, "code", e.Code.String())
		b = text(b, "error", e.Error)
		b = append(b, `,"seconds":`...)
		b = strconv.AppendFloat(b, e.Took.Seconds(), 'f', 6, 64)
	}
	return append(b, '}', '\n')
}

func (r *Request) appendTo(b []byte) []byte {
	if r.settled != nil {
		return append(b, r.settled...)
	}
	b = binary(b, "key", r.Key)
	b = binary(b, "range_end", r.RangeEnd)
	b = count(b, "revision", r.Revision)
	if r.Lease != 0 {
		// As etcdctl writes leases; a JSON reader would round the number.
		b = append(b, `,"lease":"`...)
		b = strconv.AppendUint(b, uint64(r.Lease), 16)
		b = append(b, '"')
	}
	b = text(b, "subject", r.Subject)
	b = text(b, "role", r.Role)
	b = text(b, "permission", r.Permission)
	b = text(b, "detail", r.Detail)
	if r.OpsTotal == 0 {
		return b
	}
	b = count(b, "ops_total", int64(r.OpsTotal))
	b = append(b, `,"ops":[`...)
	for i, op := range r.Ops {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"op":"`...)
		b = append(append(b, op.Kind...), '"')
		b = text(b, "branch", op.Branch)
		b = binary(b, "key", op.Key)
		b = binary(b, "range_end", op.RangeEnd)
		b = append(b, '}')
	}
	return append(b, ']')
}

// count appends a number that is not 0.
func count(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(field(b, name, ""), n, 10)
}

func field(b []byte, name, suffix string) []byte {
	b = append(b, ',', '"')
	return append(append(append(b, name...), suffix...), '"', ':')
}

// text appends a text that may hold anything a client chose.
func text(b []byte, name, value string) []byte {
	// A view: nothing below writes to it or keeps it.
	return binary(b, name, unsafe.Slice(unsafe.StringData(value), len(value)))
}

// binary appends bytes: as a text if they are a printable one, else as base64 under
// the name with _base64; and if they are too long the first of them, and their length.
func binary(b []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	shown := value
	if len(shown) > textBytesMax {
		shown = cut(shown)
		b = append(field(b, name, "_bytes"), strconv.Itoa(len(value))...)
	}
	if !printable(shown) {
		b = append(field(b, name, "_base64"), '"')
		b = base64.StdEncoding.AppendEncode(b, shown)
		return append(b, '"')
	}
	b = append(field(b, name, ""), '"')
	for _, c := range shown {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// cut takes the first bytes, no part of a letter at their end.
func cut(value []byte) []byte {
	end := textBytesMax
	for back := 1; back < utf8.UTFMax && end-back > 0; back++ {
		if start := end - back; utf8.RuneStart(value[start]) {
			if !utf8.FullRune(value[start:end]) {
				end = start
			}
			break
		}
	}
	return value[:end]
}

// printable says whether value is a text that can be shown as it is.
func printable(value []byte) bool {
	for i := 0; i < len(value); {
		if c := value[i]; c < utf8.RuneSelf {
			if c < ' ' || c > '~' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(value[i:])
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
		i += size
	}
	return true
}
