package amazon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/functions/pki"
	"github.com/tierd/tierd/functions/pki/amazon"
	"github.com/tierd/tierd/test/secretstore"
)

// privateCA answers as AWS Private CA does, for one CA that another one has signed.
type privateCA struct {
	mu          sync.Mutex
	arn         string
	root        *x509.Certificate
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	issued      map[string][]byte
	// pending is how often a certificate is not ready yet; templates are those that were asked for, asked the calls.
	pending          int
	templates, asked []string
}

func certificate(t *testing.T, name string, key, parentKey *ecdsa.PrivateKey, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(3650 * day), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newPrivateCA(t *testing.T, id string) *privateCA {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = key
	}
	c := &privateCA{arn: "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/" + id, key: keys[1], issued: make(map[string][]byte)}
	c.root = certificate(t, "root", keys[0], nil, nil)
	c.certificate = certificate(t, id, keys[1], keys[0], c.root)
	return c
}

type moment struct {
	Type  string
	Value int64
}

type issueCall struct {
	CertificateAuthorityArn, CertificateArn, SigningAlgorithm, TemplateArn, IdempotencyToken string
	Csr                                                                                      []byte
	Validity, ValidityNotBefore                                                              moment
}

func encoded(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (c *privateCA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var in issueCall
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.CertificateAuthorityArn != c.arn {
		secretstore.Refuse(w, http.StatusBadRequest, "ResourceNotFoundException")
		return
	}
	reply := make(map[string]string)
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "ACMPrivateCA.")
	c.asked = append(c.asked, operation)
	switch operation {
	case "GetCertificateAuthorityCertificate":
		reply["Certificate"], reply["CertificateChain"] = encoded("CERTIFICATE", c.certificate.Raw), encoded("CERTIFICATE", c.root.Raw)
	case "IssueCertificate":
		name, err := c.issue(in)
		if err != nil {
			secretstore.Refuse(w, http.StatusBadRequest, "InvalidArgsException")
			return
		}
		reply["CertificateArn"] = name
	case "GetCertificate":
		if c.pending > 0 {
			c.pending--
			secretstore.Refuse(w, http.StatusBadRequest, "RequestInProgressException")
			return
		}
		reply["Certificate"] = encoded("CERTIFICATE", c.issued[in.CertificateArn])
		reply["CertificateChain"] = encoded("CERTIFICATE", c.certificate.Raw) + encoded("CERTIFICATE", c.root.Raw)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(reply)
}

// issue signs as a template of AWS Private CA says: subject and names are the request's, uses the template's.
func (c *privateCA) issue(in issueCall) (string, error) {
	block, _ := pem.Decode(in.Csr)
	if block == nil {
		return "", fmt.Errorf("no request")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || request.CheckSignature() != nil || in.SigningAlgorithm != "SHA256WITHECDSA" || len(in.IdempotencyToken) > 36 || in.Validity.Type != "ABSOLUTE" {
		return "", fmt.Errorf("a wrong request")
	}
	uses := map[string][]x509.ExtKeyUsage{
		"arn:aws:acm-pca:::template/EndEntityCertificate/V1":           {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		"arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1": {x509.ExtKeyUsageClientAuth},
	}[in.TemplateArn]
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: request.Subject, DNSNames: request.DNSNames, IPAddresses: request.IPAddresses,
		NotBefore: time.Unix(in.ValidityNotBefore.Value, 0), NotAfter: time.Unix(in.Validity.Value, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: uses,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, request.PublicKey, c.key)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s/certificate/%d", c.arn, len(c.issued))
	c.issued[name], c.templates = der, append(c.templates, in.TemplateArn)
	return name, nil
}

func TestPrivateCA(t *testing.T) {
	t.Parallel()
	ca := newPrivateCA(t, "first")
	ca.pending = 1
	s := pki.NewDirectory(filepath.Join(t.TempDir(), "store"))
	now := time.Now()
	p := parts(s)
	p.Now = func() time.Time { return now }
	var err error
	if p.Signer, err = amazon.NewAuthority(t.Context(), ca.arn, serve(t, ca)); err != nil {
		t.Fatal(err)
	}
	renew := func() []string {
		t.Helper()
		report, err := pki.Renew(t.Context(), p, wanted())
		if err != nil {
			t.Fatal(err)
		}
		var written []string
		for _, a := range report.Actions {
			if a.Changed {
				written = append(written, a.Name)
			}
		}
		return written
	}
	if got := strings.Join(renew(), " "); got != "ca server client-apiserver" {
		t.Errorf("the first run wrote %s", got)
	}
	usable(t, s, now)
	if got := renew(); len(got) != 0 {
		t.Errorf("the second run wrote %s", got)
	}
	if entry := read(t, s, pki.Authority); entry.Version != "" {
		t.Error("there is a key of an authority in the store")
	}
	trusted := string(read(t, s, pki.Trust).Secret.Certificate)
	if !strings.Contains(trusted, encoded("CERTIFICATE", ca.certificate.Raw)) || strings.Contains(trusted, encoded("CERTIFICATE", ca.root.Raw)) {
		t.Error("not the CA is trusted, or who has signed it")
	}

	// Another CA: it is trusted for a week before it signs, and the first one for a week after.
	next := newPrivateCA(t, "second")
	if p.Signer, err = amazon.NewAuthority(t.Context(), next.arn, serve(t, next)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ca", "", "server client-apiserver", "", "ca", ""} {
		if i == 2 || i == 4 {
			now = now.Add(8 * day)
		}
		if got := strings.Join(renew(), " "); got != want {
			t.Errorf("run %d with another CA wrote %q, want %q", i, got, want)
		}
		usable(t, s, now)
	}
	if got := len(next.templates); got != 2 || len(ca.templates) != 2 {
		t.Errorf("the second CA has signed %d times", got)
	}
}

func TestNamesOfAuthorities(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "ca", "arn:aws:kms:eu-west-1:111122223333:key/1", "arn:aws:acm-pca:eu-west-1:111122223333:template/x"} {
		if _, err := amazon.NewAuthority(t.Context(), name, amazon.Options{}); err == nil {
			t.Errorf("%q is taken for a CA", name)
		}
	}
}
