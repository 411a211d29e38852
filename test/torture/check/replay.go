package check

import (
	"bytes"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

// replayWrites runs each writer on the state before its revision: the events and
// the response must be those of the model.
func (c *checker) replayWrites() {
	for r := int64(2); r <= c.history.Last; r++ {
		w, before := c.writers[r], c.states[r-1]
		t := transaction(requestOf(w.op))
		if t == nil {
			continue // the end of a lease, which was recognised by its events, or none
		}
		result, err := before.Txn(t)
		if err != nil {
			c.violate(RuleWrite, "revision %d was made by a call that cannot be done there (%v): %s", r, err, describe(w.op))
			continue
		}
		if !sameEvents(result.Events, c.revisions[r].Events) {
			c.violate(RuleWrite, "revision %d shows %v; %s makes %v", r, c.revisions[r].Events, describe(w.op), result.Events)
			continue
		}
		c.compareTxn(r, w.op, result)
	}
}

func requestOf(o *history.Operation) proto.Message {
	if o == nil {
		return nil
	}
	return o.Request
}

// compareTxn compares the response of a transaction with the model's.
func (c *checker) compareTxn(r int64, o *history.Operation, want model.Result) {
	if o.Outcome != history.Acknowledged {
		return
	}
	if !sameResponse(o, want) {
		c.violate(RuleWrite, "at revision %d the answer is {%v}: %s", r, want.Response, describe(o))
	}
}

// sameResponse compares an acknowledged write with the model, headers apart.
func sameResponse(o *history.Operation, want model.Result) bool {
	response := proto.CloneOf(want.Response)
	response.Header = nil
	return proto.Equal(transacted(o.Response), response)
}

// replayReads compares everything that changed nothing with the state at the
// revision in its header.
func (c *checker) replayReads() {
	for _, o := range c.history.Operations {
		h := headerOf(o)
		if o.Outcome != history.Acknowledged || h < 1 || h > c.history.Last {
			continue
		}
		switch request := o.Request.(type) {
		case *pb.RangeRequest:
			c.replayRange(o, request, h)
		case *pb.PutRequest, *pb.DeleteRangeRequest, *pb.TxnRequest:
			if !wrote(o.Response) {
				c.replayWithoutEffect(o, h)
			}
		}
	}
}

func (c *checker) replayRange(o *history.Operation, request *pb.RangeRequest, h int64) {
	if r := request.Revision; r > 0 && c.isCompacted(r, o.Call) {
		c.violate(RuleRead, "a compacted revision was read: %s", describe(o))
	}
	want, err := c.states[h].Range(request)
	if err != nil {
		c.violate(RuleRead, "at revision %d that cannot be read (%v): %s", h, err, describe(o))
		return
	}
	if !sameRange(o, want) {
		c.violate(RuleRead, "at revision %d the answer is {%v}: %s", h, want, describe(o))
	}
}

// sameRange compares an acknowledged range with the model, headers apart.
func sameRange(o *history.Operation, want *pb.RangeResponse) bool {
	got, ok := o.Response.(*pb.RangeResponse)
	if !ok {
		return false
	}
	got, want = proto.CloneOf(got), proto.CloneOf(want)
	got.Header, want.Header = nil, nil
	return proto.Equal(got, want)
}

// replayWithoutEffect: a transaction that says it changed nothing.
func (c *checker) replayWithoutEffect(o *history.Operation, h int64) {
	result, err := c.states[h].Txn(transaction(o.Request))
	if err != nil {
		c.violate(RuleWrite, "at revision %d that cannot be done (%v): %s", h, err, describe(o))
		return
	}
	if len(result.Events) > 0 {
		c.violate(RuleWrite, "at revision %d that makes %v: %s", h, result.Events, describe(o))
		return
	}
	c.compareTxn(h, o, result)
}

// showKey names a key in a violation.
func showKey(key []byte) string {
	if bytes.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Sprintf("%q", key)
	}
	return string(key)
}
