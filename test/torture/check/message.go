package check

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
)

// transaction is a writing request as a transaction; nil for anything else.
func transaction(request proto.Message) *pb.TxnRequest {
	switch r := request.(type) {
	case *pb.TxnRequest:
		return r
	case *pb.PutRequest:
		return &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: r}}}}
	case *pb.DeleteRangeRequest:
		return &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}}}
	}
	return nil
}

// transacted is the response to a writing request as that of a transaction,
// without headers, which are checked by themselves.
func transacted(response proto.Message) *pb.TxnResponse {
	switch r := response.(type) {
	case *pb.TxnResponse:
		r = proto.CloneOf(r)
		r.Header = nil
		for _, op := range r.Responses {
			dropHeaders(op)
		}
		return r
	case *pb.PutResponse:
		r = proto.CloneOf(r)
		r.Header = nil
		return &pb.TxnResponse{Succeeded: true, Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponsePut{ResponsePut: r}}}}
	case *pb.DeleteRangeResponse:
		r = proto.CloneOf(r)
		r.Header = nil
		return &pb.TxnResponse{Succeeded: true, Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: r}}}}
	}
	return nil
}

func dropHeaders(op *pb.ResponseOp) {
	switch r := op.Response.(type) {
	case *pb.ResponseOp_ResponsePut:
		r.ResponsePut.Header = nil
	case *pb.ResponseOp_ResponseDeleteRange:
		r.ResponseDeleteRange.Header = nil
	case *pb.ResponseOp_ResponseRange:
		r.ResponseRange.Header = nil
	case *pb.ResponseOp_ResponseTxn:
		r.ResponseTxn.Header = nil
		for _, nested := range r.ResponseTxn.Responses {
			dropHeaders(nested)
		}
	}
}

// wrote says whether a response to a writing request tells that it changed
// something, and so took a revision of its own.
func wrote(response proto.Message) bool {
	t := transacted(response)
	return t != nil && wroteAny(t.Responses)
}

func wroteAny(ops []*pb.ResponseOp) bool {
	for _, op := range ops {
		if op.GetResponsePut() != nil || op.GetResponseDeleteRange().GetDeleted() > 0 || wroteAny(op.GetResponseTxn().GetResponses()) {
			return true
		}
	}
	return false
}

// headerOf is the revision in the header of a response; 0 if there is none.
func headerOf(o *history.Operation) int64 {
	if headed, ok := o.Response.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		return headed.GetHeader().GetRevision()
	}
	return 0
}

// puts are the puts of a transaction on all its branches.
func puts(r *pb.TxnRequest) []*pb.PutRequest {
	var found []*pb.PutRequest
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if p := op.GetRequestPut(); p != nil {
				found = append(found, p)
			}
			if nested := op.GetRequestTxn(); nested != nil {
				found = append(found, puts(nested)...)
			}
		}
	}
	return found
}

// serializable says whether an operation may be answered from the past.
func serializable(o *history.Operation) bool {
	r, ok := o.Request.(*pb.RangeRequest)
	return ok && r.Serializable
}

// describe names an operation in a violation.
func describe(o *history.Operation) string {
	text := fmt.Sprintf("client %d on frontend %d at %v..%v: %T{%v}", o.Client, o.Frontend, seconds(o.Call), seconds(o.Return), o.Request, o.Request)
	if o.Response != nil {
		return fmt.Sprintf("%s -> {%v}", text, o.Response)
	}
	return fmt.Sprintf("%s -> %s (%s)", text, o.Outcome, o.Error)
}

// seconds shows a time.
func seconds(t history.Time) string {
	if t == history.Forever {
		return "?"
	}
	return fmt.Sprintf("%.6fs", float64(t)/1e9)
}
