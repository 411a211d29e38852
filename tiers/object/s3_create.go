package object

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	// partBytes is what one request stores at most, and what is kept of a body to repeat it.
	partBytes = 8 << 20
	// partsInFlight are stored at once, while one more is being read.
	partsInFlight = 2
	// partsMax is S3's bound, and so that of an object here: 80 GB.
	partsMax = 10_000
)

// ifAbsent is the condition of Create.
const ifAbsent = "*"

// Create implements Store.
func (s *s3Store) Create(ctx context.Context, name string, body io.Reader) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("create an object: %w", err)
	}
	first, last, err := readPart(body, 0)
	if err != nil {
		return s.bodyFailed(name, err)
	}
	if !last {
		return s.createInParts(ctx, name, first, body)
	}
	call := s.begin(ctx, "create", name)
	input := s.put(name, first)
	input.IfNoneMatch = aws.String(ifAbsent)
	_, err = s.client.PutObject(call.ctx, input)
	return call.ended(err)
}

// bodyFailed is the error of a content that could not be read: nothing was stored.
func (s *s3Store) bodyFailed(name string, err error) error {
	return fmt.Errorf("create %s: read its content: %w", s.place(name), err)
}

// readPart reads up to a part; last tells that the body ended within it. room is how
// many bytes to expect: it may be too small, at the price of copying.
func readPart(body io.Reader, room int) (part []byte, last bool, err error) {
	var buffer bytes.Buffer
	buffer.Grow(room + bytes.MinRead)
	n, err := io.Copy(&buffer, io.LimitReader(body, partBytes))
	return buffer.Bytes(), n < partBytes, err
}

// upload is an object being created in parts. It becomes one when they are put together;
// until then there is nothing under its name.
type upload struct {
	store *s3Store
	name  string
	id    *string

	mu    sync.Mutex
	parts []types.CompletedPart
}

func (s *s3Store) createInParts(ctx context.Context, name string, first []byte, body io.Reader) error {
	call := s.begin(ctx, "create", name)
	begun, err := s.client.CreateMultipartUpload(call.ctx, &s3.CreateMultipartUploadInput{
		Bucket: aws.String(s.location.Bucket), Key: aws.String(s.key(name)),
		ChecksumAlgorithm:    types.ChecksumAlgorithmCrc32,
		ServerSideEncryption: types.ServerSideEncryption(s.location.SSE), SSEKMSKeyId: s.sseKey(),
	})
	if err := call.readEnded(err); err != nil {
		return err
	}
	u := &upload{store: s, name: name, id: begun.UploadId}
	err = u.send(ctx, first, body)
	if err == nil {
		err = u.complete(ctx)
	}
	if err != nil {
		u.abort(ctx)
	}
	return err
}

// send stores all parts.
func (u *upload) send(ctx context.Context, part []byte, body io.Reader) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(partsInFlight)
	var err error
	last := false
	for number := int32(1); err == nil && within.Err() == nil && len(part) > 0; number++ {
		if number > partsMax {
			err = fmt.Errorf("create %s: it has more than %d parts of %d bytes", u.store.place(u.name), partsMax, partBytes)
			break
		}
		sending := part
		group.Go(func() error { return u.sendPart(within, number, sending) })
		if last {
			break
		}
		if part, last, err = readPart(body, partBytes); err != nil {
			err = u.store.bodyFailed(u.name, err)
		}
	}
	// The parts' error is the cause of what else failed.
	if sent := group.Wait(); sent != nil {
		return sent
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("create %s: %w", u.store.place(u.name), ctx.Err())
	}
	return err
}

// sendPart stores one part; the object is not there yet, so no outcome is unknown.
func (u *upload) sendPart(ctx context.Context, number int32, part []byte) error {
	call := u.store.begin(ctx, "create", u.name)
	reply, err := u.store.client.UploadPart(call.ctx, &s3.UploadPartInput{
		Bucket: aws.String(u.store.location.Bucket), Key: aws.String(u.store.key(u.name)), UploadId: u.id,
		PartNumber: aws.Int32(number), Body: bytes.NewReader(part), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err := call.readEnded(err); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{PartNumber: aws.Int32(number), ETag: reply.ETag, ChecksumCRC32: reply.ChecksumCRC32})
	return nil
}

// complete puts the parts together.
func (u *upload) complete(ctx context.Context) error {
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	call := u.store.begin(ctx, "create", u.name)
	_, err := u.store.client.CompleteMultipartUpload(call.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(u.store.location.Bucket), Key: aws.String(u.store.key(u.name)), UploadId: u.id,
		IfNoneMatch: aws.String(ifAbsent), MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	return call.ended(err)
}

// abort has the store drop the parts, also when the caller gave up. Its failure changes
// nothing about what failed before; a rule of the bucket drops what stays then.
func (u *upload) abort(ctx context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.store.limits.Attempt)
	defer cancel()
	_, _ = u.store.client.AbortMultipartUpload(within, &s3.AbortMultipartUploadInput{
		Bucket: aws.String(u.store.location.Bucket), Key: aws.String(u.store.key(u.name)), UploadId: u.id,
	})
}
