package seal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

const (
	kmsAttempts = 5
	kmsTimeout  = 15 * time.Second
	// kmsContextKey has, in the encryption context of a call, which key of whom it is about. It is
	// in the log that AWS keeps of uses of the key.
	kmsContextKey = "tierd"
)

// KMSOptions are what a key of KMS needs beside its name. The zero value is right for use.
type KMSOptions struct {
	// Endpoint is the URL of a service other than AWS' own.
	Endpoint string
	// Credentials replaces what the environment says; nil for the chain of the AWS SDK.
	Credentials aws.CredentialsProvider
	// Client replaces the HTTP client; nil for one of its own.
	Client *http.Client
}

// kmsKey is a symmetric key of AWS KMS, which never leaves it.
type kmsKey struct {
	client *kms.Client
	id     string
}

// NewKMS returns a key of AWS KMS as master key. It is named by its ARN, which alone says
// the same key for good (an alias may be moved to another one). No call is made.
func NewKMS(ctx context.Context, keyARN string, options KMSOptions) (Master, error) {
	parsed, err := arn.Parse(keyARN)
	if err != nil || parsed.Service != "kms" || !strings.HasPrefix(parsed.Resource, "key/") {
		return nil, fmt.Errorf("the KMS key %q is not named by its ARN, like arn:aws:kms:REGION:ACCOUNT:key/ID", keyARN)
	}
	load := []func(*config.LoadOptions) error{
		config.WithRegion(parsed.Region),
		config.WithLogger(logging.Nop{}),
		config.WithRetryMaxAttempts(kmsAttempts),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(kmsTimeout)),
	}
	if options.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(options.Credentials))
	}
	loaded, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	return &kmsKey{id: keyARN, client: kms.NewFromConfig(loaded, func(o *kms.Options) {
		if options.Endpoint != "" {
			o.BaseEndpoint = aws.String(options.Endpoint)
		}
		if options.Client != nil {
			o.HTTPClient = options.Client
		}
	})}, nil
}

// ID implements Master.
func (k *kmsKey) ID() string { return k.id }

// sameMaster tells whether two IDs name the same master key. A multi-Region key of KMS and its replicas
// have one material, and ARNs that differ by region alone: the archive of a region that is
// lost is read by the replica of another one.
func sameMaster(one, other string) bool {
	return one == other || multiRegion(one) != "" && multiRegion(one) == multiRegion(other)
}

// multiRegion is what the ARNs of all replicas of a multi-Region key have in common, "" for others.
func multiRegion(id string) string {
	parsed, err := arn.Parse(id)
	if err != nil || parsed.Service != "kms" || !strings.HasPrefix(parsed.Resource, "key/mrk-") {
		return ""
	}
	parsed.Region = ""
	return parsed.String()
}

// Wrap implements Master.
func (k *kmsKey) Wrap(ctx context.Context, plaintext, associated []byte) ([]byte, error) {
	reply, err := k.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId:             aws.String(k.id),
		Plaintext:         plaintext,
		EncryptionContext: map[string]string{kmsContextKey: string(associated)},
	})
	if err != nil {
		return nil, k.failed("encrypt", err)
	}
	return reply.CiphertextBlob, nil
}

// Unwrap implements Master.
func (k *kmsKey) Unwrap(ctx context.Context, ciphertext, associated []byte) ([]byte, error) {
	reply, err := k.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId:             aws.String(k.id),
		CiphertextBlob:    ciphertext,
		EncryptionContext: map[string]string{kmsContextKey: string(associated)},
	})
	if err != nil {
		return nil, k.failed("decrypt", err)
	}
	return reply.Plaintext, nil
}

// failed classifies what KMS says. Its errors hold neither key nor credentials.
func (k *kmsKey) failed(operation string, err error) error {
	why := err
	if told := (*smithy.OperationError)(nil); errors.As(err, &told) {
		why = told.Err
	}
	var meaning error
	switch {
	case errors.As(err, new(*types.InvalidCiphertextException)):
		meaning = ErrAltered
	case errors.As(err, new(*types.IncorrectKeyException)):
		meaning = ErrKey
	default:
		return fmt.Errorf("%s with the KMS key %s: %w", operation, k.id, why)
	}
	return fmt.Errorf("%s with the KMS key %s: %w: %w", operation, k.id, meaning, why)
}
