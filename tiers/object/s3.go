package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// removeBatch is how many objects S3 removes at once at most.
const removeBatch = 1000

// anyRegion is what stores other than S3 itself are told when nobody names a region.
const anyRegion = "us-east-1"

// s3Store keeps objects in a bucket. Create asks the bucket to refuse a name that is taken
// (If-None-Match), which Probe finds out whether it does. Attempts are repeated by the SDK;
// each is bounded, and so is a body that brings nothing. Since an attempt whose reply was lost may have
// been carried out, a repeated Create may find its own object and say ErrExists.
type s3Store struct {
	location Location
	limits   Limits
	client   *s3.Client
	http     *boundedClient
}

func openS3(ctx context.Context, location Location, options Options) (*s3Store, error) {
	// The configuration adds certificate authorities to it.
	buildable := awshttp.NewBuildableClient().WithTransportOptions(boundTransport(options.Limits))
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(buildable),
		config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer { return newRetryer(options.Limits) }),
	}
	if location.Region != "" {
		load = append(load, config.WithRegion(location.Region))
	}
	if options.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(options.Credentials))
	}
	loaded, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("open %s: read the AWS configuration: %w", location, err)
	}
	if loaded.Region == "" {
		if location.Endpoint == "" && loaded.BaseEndpoint == nil {
			return nil, fmt.Errorf("open %s: it names no region: add ?region=, or set AWS_REGION", location)
		}
		loaded.Region = anyRegion
	}
	transport := options.Transport
	if configured, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok && transport == nil {
		transport = configured.GetTransport()
	}
	s := &s3Store{location: location, limits: options.Limits, http: newBoundedClient(transport, options.Limits)}
	s.client = s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.HTTPClient = s.http
		o.UsePathStyle = location.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true
		if location.Endpoint != "" {
			o.BaseEndpoint = aws.String(location.Endpoint)
		}
	})
	return s, nil
}

// newRetryer repeats what is worth it, with growing waits. There is no limit beside
// the one on attempts: the next call after an outage is not to pay for those before.
func newRetryer(limits Limits) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = limits.Attempts
		o.MaxBackoff = limits.BackoffMax
		o.RateLimiter = ratelimit.None
		// S3 answers so when two create a name at once, and asks for another attempt.
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{codeConflict: {}}},
			retry.IsErrorRetryableFunc(retryUnreadable))
	})
}

// retryUnreadable repeats a call whose reply could not be read to its end.
func retryUnreadable(err error) aws.Ternary {
	if errors.As(err, new(*smithy.DeserializationError)) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// Close ends idle connections.
func (s *s3Store) Close() error {
	s.http.client.CloseIdleConnections()
	return nil
}

// key is the name of an object in the bucket.
func (s *s3Store) key(name string) string {
	if s.location.Prefix == "" {
		return name
	}
	return s.location.Prefix + "/" + name
}

// Replace implements Store.
func (s *s3Store) Replace(ctx context.Context, name string, body []byte) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("replace an object: %w", err)
	}
	call := s.begin(ctx, "replace", name)
	_, err := s.client.PutObject(call.ctx, s.put(name, body))
	return call.ended(err)
}

// put is a request that stores an object.
func (s *s3Store) put(name string, body []byte) *s3.PutObjectInput {
	return &s3.PutObjectInput{
		Bucket: aws.String(s.location.Bucket), Key: aws.String(s.key(name)), Body: bytes.NewReader(body),
		ServerSideEncryption: types.ServerSideEncryption(s.location.SSE), SSEKMSKeyId: s.sseKey(),
	}
}

func (s *s3Store) sseKey() *string {
	if s.location.SSEKey == "" {
		return nil
	}
	return aws.String(s.location.SSEKey)
}

// Remove implements Store.
func (s *s3Store) Remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return fmt.Errorf("remove an object: %w", err)
		}
	}
	if len(names) == 1 {
		call := s.begin(ctx, "remove", names[0])
		_, err := s.client.DeleteObject(call.ctx, &s3.DeleteObjectInput{
			Bucket: aws.String(s.location.Bucket), Key: aws.String(s.key(names[0])),
		})
		if err = call.ended(err); errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	for len(names) > 0 {
		batch := names[:min(len(names), removeBatch)]
		if err := s.removeBatch(ctx, batch); err != nil {
			return err
		}
		names = names[len(batch):]
	}
	return nil
}

func (s *s3Store) removeBatch(ctx context.Context, names []string) error {
	ids := make([]types.ObjectIdentifier, 0, len(names))
	for _, name := range names {
		ids = append(ids, types.ObjectIdentifier{Key: aws.String(s.key(name))})
	}
	call := s.begin(ctx, "remove", names[0])
	reply, err := s.client.DeleteObjects(call.ctx, &s3.DeleteObjectsInput{
		Bucket: aws.String(s.location.Bucket), Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return call.ended(err)
	}
	for _, refused := range reply.Errors {
		name := strings.TrimPrefix(aws.ToString(refused.Key), s.key(""))
		code := aws.ToString(refused.Code)
		if meaning := meaningOf(code, 0); !errors.Is(meaning, ErrNotFound) {
			return failed("remove", s.place(name), meaning, fmt.Errorf("%s (%s)", aws.ToString(refused.Message), code))
		}
	}
	return nil
}

// Open implements Store.
func (s *s3Store) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("open an object: %w", err)
	}
	return s.open(ctx, name, from)
}

func (s *s3Store) place(name string) string {
	return strings.TrimSuffix(s.location.String()+"/"+name, "/")
}

var _ interface {
	Store
	io.Closer
} = (*s3Store)(nil)

// boundedClient is defined for the SDK by what it does.
var _ interface {
	Do(*http.Request) (*http.Response, error)
} = (*boundedClient)(nil)
