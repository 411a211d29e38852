package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// resumesMax is how often a body that broke is asked for again from where it broke, without
	// resumeBytes having come since.
	resumesMax  = 4
	resumeBytes = 8 << 20
)

// s3Body reads an object, over several replies if one breaks.
type s3Body struct {
	ctx   context.Context
	store *s3Store
	name  string
	// at is the next byte, end the object's length.
	at, end int64
	etag    *string
	reply   io.ReadCloser
	// resumes counts those since the byte mark.
	resumes int
	mark    int64
	err     error
}

func (s *s3Store) open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	body := &s3Body{ctx: ctx, store: s, name: name, at: from, mark: from}
	err := body.ask()
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, errPastEnd):
		return http.NoBody, nil
	}
	return nil, err
}

// errPastEnd: there is no byte from there on.
var errPastEnd = errors.New("the object ends before that")

// ask requests what is left.
func (b *s3Body) ask() error {
	input := &s3.GetObjectInput{Bucket: aws.String(b.store.location.Bucket), Key: aws.String(b.store.key(b.name)), IfMatch: b.etag}
	if b.at > 0 {
		input.Range = aws.String(fmt.Sprintf("bytes=%d-", b.at))
	}
	call := b.store.begin(b.ctx, "open", b.name)
	reply, err := b.store.client.GetObject(call.ctx, input)
	if err != nil {
		return b.refused(call, err)
	}
	if reply.ContentLength == nil || *reply.ContentLength < 0 || b.at > 0 && reply.ContentRange == nil {
		reply.Body.Close()
		return call.wrap(ErrUnfit, errors.New("it does not say which bytes, and how many, it returns"))
	}
	b.reply, b.etag, b.end = reply.Body, reply.ETag, b.at+*reply.ContentLength
	return nil
}

func (b *s3Body) refused(call *s3Call, err error) error {
	status := 0
	if reply := (*smithyhttp.ResponseError)(nil); errors.As(err, &reply) {
		status = reply.HTTPStatusCode()
	}
	switch {
	case status == http.StatusRequestedRangeNotSatisfiable && b.at > 0:
		return errPastEnd
	case status == http.StatusPreconditionFailed:
		return call.wrap(ErrUnavailable, errors.New("it was replaced while it was read"))
	}
	return call.readEnded(err)
}

func (b *s3Body) Read(p []byte) (int, error) {
	for b.err == nil {
		n, err := b.reply.Read(p)
		b.at += int64(n)
		if err != nil {
			b.broke(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// broke goes on from where a reply ended, or sets the error.
func (b *s3Body) broke(err error) {
	switch {
	case b.at == b.end:
		// All came. Another error than the end is that of a checksum.
		if b.err = err; err != io.EOF {
			b.err = b.failed(ErrUnavailable, err)
		}
		return
	case b.at > b.end:
		b.err = b.failed(ErrUnavailable, errors.New("more bytes came than it has"))
		return
	case b.ctx.Err() != nil:
		b.err = fmt.Errorf("read %s: %w", b.store.place(b.name), b.ctx.Err())
		return
	}
	if b.at-b.mark >= resumeBytes {
		b.resumes, b.mark = 0, b.at
	}
	if b.resumes++; b.resumes > resumesMax {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %w", err, io.ErrUnexpectedEOF)
		}
		b.err = b.failed(ErrUnavailable, fmt.Errorf("%d bytes before its end: %w", b.end-b.at, err))
		return
	}
	// What it says is of no use any more.
	_ = b.reply.Close()
	b.reply = http.NoBody
	if asked := b.ask(); errors.Is(asked, errPastEnd) {
		b.err = b.failed(ErrUnavailable, io.ErrUnexpectedEOF)
	} else {
		b.err = asked
	}
}

func (b *s3Body) failed(meaning, why error) error {
	return failed("read", b.store.place(b.name), meaning, why)
}

func (b *s3Body) Close() error {
	if b.err == nil {
		b.err = errors.New("the object is closed")
	}
	// Of a reply that was not read to its end.
	_ = b.reply.Close()
	return nil
}
