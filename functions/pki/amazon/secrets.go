package amazon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/tierd/tierd/functions/pki"
)

// SecretsScheme is that of the URLs of stores in Secrets Manager.
const SecretsScheme = "secretsmanager"

// prefixPattern is what names of secrets may begin with.
var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*$`)

// Place says where secrets are.
type Place struct{ Prefix, Region string }

// ParsePlace reads secretsmanager://PREFIX?region=REGION. Without a region it is that of the environment.
func ParsePlace(text string) (Place, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != SecretsScheme || u.User != nil || u.Port() != "" || u.Fragment != "" {
		return Place{}, fmt.Errorf("%q is not like %s://PREFIX?region=REGION", text, SecretsScheme)
	}
	p := Place{Prefix: u.Host + u.Path, Region: u.Query().Get("region")}
	if !prefixPattern.MatchString(p.Prefix) {
		return Place{}, fmt.Errorf("%q is no beginning of names of secrets", p.Prefix)
	}
	for key, values := range u.Query() {
		if key != "region" || len(values) != 1 {
			return Place{}, fmt.Errorf("%q has the parameter %q: only region=REGION is known", text, key)
		}
	}
	return p, nil
}

// Secrets is a store in Secrets Manager. The secret of a name is PREFIX/name, its value {"certificate": ..., "key": ...}.
type Secrets struct {
	client *secretsmanager.Client
	place  Place
}

// NewSecrets is the store at a place. No call is made.
func NewSecrets(ctx context.Context, place Place, options Options) (*Secrets, error) {
	loaded, err := options.load(ctx, place.Region)
	if err != nil {
		return nil, err
	}
	if loaded.Region == "" {
		return nil, errors.New("no region is given: add ?region=REGION, or set AWS_REGION")
	}
	return &Secrets{client: secretsmanager.NewFromConfig(loaded), place: place}, nil
}

// value is what a secret holds.
type value struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key,omitempty"`
}

// Lock implements pki.Store. Nothing has to be locked: see Write.
func (s *Secrets) Lock(context.Context) (func() error, error) {
	return func() error { return nil }, nil
}

// Leaves implements pki.Store. Nothing is told: the right to list secrets is one on all of them.
func (s *Secrets) Leaves(context.Context) ([]string, error) { return nil, nil }

// Read implements pki.Store. A secret that is not there, and one that has no value yet, are nothing.
func (s *Secrets) Read(ctx context.Context, name string) (pki.Entry, error) {
	id := s.id(name)
	reply, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)})
	if errors.As(err, new(*types.ResourceNotFoundException)) {
		return pki.Entry{}, nil
	}
	if err != nil {
		return pki.Entry{}, fmt.Errorf("read the secret %s: %w", id, cause(err))
	}
	var v value
	// The error of the decoder could quote what it reads.
	if json.Unmarshal([]byte(aws.ToString(reply.SecretString)), &v) != nil {
		return pki.Entry{}, fmt.Errorf("read the secret %s: %w: it is no JSON object with a certificate", id, pki.ErrUnreadable)
	}
	return pki.Entry{
		Secret:  pki.Secret{Certificate: []byte(v.Certificate), Key: []byte(v.Key)},
		Version: aws.ToString(reply.VersionId),
	}, nil
}

// Write implements pki.Store. Two who replace the same version have the same token: the second one is refused, unless it
// writes the same, which is the first one's repetition.
func (s *Secrets) Write(ctx context.Context, name string, secret pki.Secret, version string) (string, error) {
	id := s.id(name)
	text, err := json.Marshal(value{Certificate: string(secret.Certificate), Key: string(secret.Key)})
	if err != nil {
		return "", fmt.Errorf("encode the secret %s: %w", id, err)
	}
	reply, err := s.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: aws.String(id), SecretString: aws.String(string(text)), ClientRequestToken: aws.String(token(id, version)),
	})
	switch {
	case errors.As(err, new(*types.ResourceExistsException)):
		return "", pki.ErrChanged
	case errors.As(err, new(*types.ResourceNotFoundException)):
		return "", fmt.Errorf("there is no secret %s: it has to be made before, without a value", id)
	case err != nil:
		return "", fmt.Errorf("write the secret %s: %w", id, cause(err))
	}
	return aws.ToString(reply.VersionId), nil
}

// id is the name of a secret.
func (s *Secrets) id(name string) string { return s.place.Prefix + "/" + name }

// token is that of a write which replaces a version. Secrets Manager takes it for the new version's name.
func token(id, version string) string {
	digest := sha256.Sum256([]byte(strings.Join([]string{"tierd pki", id, version}, "\n")))
	return hex.EncodeToString(digest[:])
}
