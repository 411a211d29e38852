package amazon

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/acmpca"
	"github.com/aws/aws-sdk-go-v2/service/acmpca/types"
)

const (
	// issueTimeout is how long a certificate may take to be signed, issuePoll the least time between two looks.
	issueTimeout = 2 * time.Minute
	issuePoll    = 500 * time.Millisecond

	// templateBoth and templateClient are what certificates are made after: both uses of TLS, or that of clients alone.
	templateBoth   = "EndEntityCertificate/V1"
	templateClient = "EndEntityClientAuthCertificate/V1"

	typeCertificate = "CERTIFICATE"
)

// Authority is a CA of AWS Private CA, whose key never leaves it.
type Authority struct {
	client *acmpca.Client
	arn    arn.ARN
	// anchor is its certificate, once it was read.
	anchor *x509.Certificate
}

// NewAuthority is the CA with an ARN. No call is made.
func NewAuthority(ctx context.Context, authorityARN string, options Options) (*Authority, error) {
	parsed, err := arn.Parse(authorityARN)
	if err != nil || parsed.Service != "acm-pca" || !strings.HasPrefix(parsed.Resource, "certificate-authority/") {
		return nil, fmt.Errorf("the authority %q is not named by its ARN, like arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID", authorityARN)
	}
	loaded, err := options.load(ctx, parsed.Region)
	if err != nil {
		return nil, err
	}
	return &Authority{client: acmpca.NewFromConfig(loaded), arn: parsed}, nil
}

// Anchor implements pki.Signer. It is the CA's own certificate, also if another one has signed that: what else the other one
// signs shall not be trusted.
func (a *Authority) Anchor(ctx context.Context) (*x509.Certificate, error) {
	if a.anchor != nil {
		return a.anchor, nil
	}
	reply, err := a.client.GetCertificateAuthorityCertificate(ctx, &acmpca.GetCertificateAuthorityCertificateInput{CertificateAuthorityArn: aws.String(a.arn.String())})
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", a.arn, cause(err))
	}
	block, _ := pem.Decode([]byte(aws.ToString(reply.Certificate)))
	if block == nil {
		return nil, fmt.Errorf("the certificate of %s is not in PEM", a.arn)
	}
	if a.anchor, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", a.arn, err)
	}
	return a.anchor, nil
}

// Sign implements pki.Signer.
func (a *Authority) Sign(ctx context.Context, template *x509.Certificate, key crypto.Signer) ([]byte, error) {
	anchor, err := a.Anchor(ctx)
	if err != nil {
		return nil, err
	}
	algorithm, err := signingAlgorithm(anchor)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: template.Subject, DNSNames: template.DNSNames, IPAddresses: template.IPAddresses,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	digest := sha256.Sum256(request)
	issued, err := a.client.IssueCertificate(ctx, &acmpca.IssueCertificateInput{
		CertificateAuthorityArn: aws.String(a.arn.String()),
		Csr:                     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
		SigningAlgorithm:        algorithm,
		TemplateArn:             aws.String(fmt.Sprintf("arn:%s:acm-pca:::template/%s", a.arn.Partition, templateOf(template))),
		Validity:                moment(template.NotAfter),
		ValidityNotBefore:       moment(template.NotBefore),
		IdempotencyToken:        aws.String(hex.EncodeToString(digest[:16])),
	})
	if err != nil {
		return nil, fmt.Errorf("have %s sign: %w", a.arn, cause(err))
	}
	return a.await(ctx, aws.ToString(issued.CertificateArn))
}

// await gives a certificate as soon as it is signed, with what leads from it to an authority that has signed itself.
func (a *Authority) await(ctx context.Context, certificate string) ([]byte, error) {
	waiter := acmpca.NewCertificateIssuedWaiter(a.client, func(o *acmpca.CertificateIssuedWaiterOptions) {
		o.MinDelay, o.MaxDelay = issuePoll, 10*issuePoll
	})
	reply, err := waiter.WaitForOutput(ctx, &acmpca.GetCertificateInput{
		CertificateArn: aws.String(certificate), CertificateAuthorityArn: aws.String(a.arn.String()),
	}, issueTimeout)
	if err != nil {
		return nil, fmt.Errorf("wait for %s to sign: %w", a.arn, cause(err))
	}
	text := []byte(strings.TrimSpace(aws.ToString(reply.Certificate)) + "\n")
	for rest := []byte(aws.ToString(reply.CertificateChain)); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return text, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read what leads to %s: %w", a.arn, err)
		}
		if !bytes.Equal(c.RawIssuer, c.RawSubject) {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: block.Bytes})...)
		}
	}
}

// signingAlgorithm is one that fits the CA's key.
func signingAlgorithm(anchor *x509.Certificate) (types.SigningAlgorithm, error) {
	switch key := anchor.PublicKey.(type) {
	case *rsa.PublicKey:
		return types.SigningAlgorithmSha256withrsa, nil
	case *ecdsa.PublicKey:
		switch bits := key.Curve.Params().BitSize; {
		case bits <= 256:
			return types.SigningAlgorithmSha256withecdsa, nil
		case bits <= 384:
			return types.SigningAlgorithmSha384withecdsa, nil
		default:
			return types.SigningAlgorithmSha512withecdsa, nil
		}
	}
	return "", errors.New("the authority's key is neither RSA nor ECDSA")
}

// templateOf is the template of AWS Private CA with the uses that a certificate is for.
func templateOf(template *x509.Certificate) string {
	if slices.Contains(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return templateBoth
	}
	return templateClient
}

func moment(t time.Time) *types.Validity {
	return &types.Validity{Type: types.ValidityPeriodTypeAbsolute, Value: aws.Int64(t.Unix())}
}
