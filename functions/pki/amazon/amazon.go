// Package amazon has what AWS offers to a PKI: Secrets Manager as its store, and AWS Private CA as its authority.
//
// It promises:
//
//   - Of runs at once, only one replaces what both have seen, also if calls are repeated, lost or late. The token of a write is
//     made of the version that it replaces, and Secrets Manager takes each token for one content only; no lock is needed. (A
//     value that somebody puts there by hand, in the moment between a run's read and its write, is replaced.)
//   - It makes and deletes no secret: whoever describes the deployment does, and so says who may read it.
//   - It calls GetSecretValue and PutSecretValue, IssueCertificate, GetCertificate and GetCertificateAuthorityCertificate, and
//     nothing else, always on what is named.
//   - No key is in an error or a log.
package amazon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

const (
	// attemptsMax is how often a call is made that does not succeed, callTimeout how long each may take.
	attemptsMax = 5
	callTimeout = 15 * time.Second
)

// Options are what is needed beside names. The zero value is right for use.
type Options struct {
	// Endpoint is the URL of a service other than AWS' own.
	Endpoint string
	// Credentials replaces what the environment says; nil for the chain of the AWS SDK.
	Credentials aws.CredentialsProvider
	// Client replaces the HTTP client; nil for one of its own.
	Client *http.Client
}

// load reads the configuration of the AWS SDK; an empty region is that of the environment.
func (o Options) load(ctx context.Context, region string) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),
		config.WithRetryMaxAttempts(attemptsMax),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
	}
	if region != "" {
		load = append(load, config.WithRegion(region))
	}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	loaded, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if o.Endpoint != "" {
		loaded.BaseEndpoint = aws.String(o.Endpoint)
	}
	if o.Client != nil {
		loaded.HTTPClient = o.Client
	}
	return loaded, nil
}

// cause is an error of the SDK without the name of the operation, which callers say in their own words.
func cause(err error) error {
	if told := (*smithy.OperationError)(nil); errors.As(err, &told) {
		return told.Err
	}
	return err
}
