package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/smithy-go"
)

// codeConflict is S3's answer to one of two that create a name at once.
const codeConflict = "ConditionalRequestConflict"

// s3Call is one operation on the bucket, with all its attempts.
type s3Call struct {
	// ctx carries the outcome to the client.
	ctx       context.Context
	caller    context.Context
	store     *s3Store
	operation string
	name      string
	outcome   outcome
}

func (s *s3Store) begin(ctx context.Context, operation, name string) *s3Call {
	call := &s3Call{caller: ctx, store: s, operation: operation, name: name}
	call.ctx = context.WithValue(ctx, outcomeKey{}, &call.outcome)
	return call
}

// ended classifies how a call ended that changes something: ErrUnknown as well, if it may
// have done so.
func (c *s3Call) ended(err error) error {
	if err == nil {
		return nil
	}
	meaning, why := c.meaning(err)
	if c.outcome.maybe && !errors.Is(meaning, ErrExists) {
		if meaning == nil {
			meaning = ErrUnknown
		} else {
			meaning = fmt.Errorf("%w: %w", ErrUnknown, meaning)
		}
	}
	return c.wrap(meaning, why)
}

// readEnded is ended for a call that changes nothing.
func (c *s3Call) readEnded(err error) error {
	if err == nil {
		return nil
	}
	return c.wrap(c.meaning(err))
}

func (c *s3Call) wrap(meaning, why error) error {
	if meaning == nil {
		return fmt.Errorf("%s %s: %w", c.operation, c.store.place(c.name), why)
	}
	return failed(c.operation, c.store.place(c.name), meaning, why)
}

// meaning is the sentinel of an error and its cause in few words: the caller knows what was called,
// and the address of a request is of no use. The sentinel is nil if the caller gave up.
func (c *s3Call) meaning(err error) (meaning, why error) {
	if given := c.caller.Err(); given != nil {
		return nil, given
	}
	why = err
	if told := (*smithy.OperationError)(nil); errors.As(err, &told) {
		why = told.Err
	}
	status := 0
	if reply := (*smithyhttp.ResponseError)(nil); errors.As(err, &reply) {
		status = reply.HTTPStatusCode()
		why = reply.Err
	}
	code := ""
	if refused := smithy.APIError(nil); errors.As(err, &refused) {
		code = refused.ErrorCode()
		why = fmt.Errorf("%s (%s, HTTP %d)", refused.ErrorMessage(), code, status)
		if refused.ErrorMessage() == "" {
			why = fmt.Errorf("%s (HTTP %d)", code, status)
		}
	}
	if sent := (*url.Error)(nil); errors.As(err, &sent) {
		why = sent.Err
	}
	return meaningOf(code, status), why
}

// meaningOf is the sentinel for an answer of S3; code and status may be missing.
func meaningOf(code string, status int) error {
	switch code {
	case "NoSuchBucket":
		return fmt.Errorf("%w: there is no such bucket", ErrUnfit)
	case "NoSuchUpload":
		// Somebody ended the upload; the object is another matter.
		return ErrUnavailable
	case "NoSuchKey", "NotFound":
		return ErrNotFound
	case "PreconditionFailed":
		return ErrExists
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken":
		return ErrDenied
	}
	switch status {
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusPreconditionFailed:
		return ErrExists
	case http.StatusForbidden, http.StatusUnauthorized:
		return ErrDenied
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return ErrUnfit
	}
	return ErrUnavailable
}
