package auth

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	jwtTTLDefault = 5 * time.Minute

	methodOption     = "sign-method"
	publicKeyOption  = "pub-key"
	privateKeyOption = "priv-key"
	ttlOption        = "ttl"
)

var (
	errKeyMissing  = errors.New("neither a public nor a private key is given")
	errKeyMismatch = errors.New("the public key is not that of the private key")
)

// jwtOptions are the options of signed tokens, read.
type jwtOptions struct {
	method  jwt.SigningMethod
	keys    jwtKeys
	ttl     time.Duration
	unknown []string
}

// jwtKeys are what tokens are signed and verified with; without sign they are only verified.
type jwtKeys struct {
	sign, verify any
}

func readJWTOptions(options map[string]string) (jwtOptions, error) {
	set := jwtOptions{ttl: jwtTTLDefault}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		switch name {
		case methodOption, publicKeyOption, privateKeyOption, ttlOption:
		default:
			set.unknown = append(set.unknown, name)
		}
	}
	if text := options[ttlOption]; text != "" {
		var err error
		if set.ttl, err = time.ParseDuration(text); err != nil || set.ttl <= 0 {
			return set, fmt.Errorf("%s is %q, must be a duration above 0", ttlOption, text)
		}
	}
	if set.method = jwt.GetSigningMethod(options[methodOption]); set.method == nil {
		return set, fmt.Errorf("%s is %q, must be a method such as RS256, PS256, ES256, EdDSA or HS256", methodOption, options[methodOption])
	}
	public, err := readKeyFile(publicKeyOption, options)
	if err != nil {
		return set, err
	}
	private, err := readKeyFile(privateKeyOption, options)
	if err != nil {
		return set, err
	}
	set.keys, err = parseKeys(set.method, public, private)
	return set, err
}

// readKeyFile reads the file that an option names; nil if there is none.
func readKeyFile(option string, options map[string]string) ([]byte, error) {
	path := options[option]
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return data, nil
}

// parseKeys parses keys of the kind that a method takes. A method with a secret takes
// the private key's file as it is.
func parseKeys(method jwt.SigningMethod, public, private []byte) (jwtKeys, error) {
	switch method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return keyPair(public, private, jwt.ParseRSAPublicKeyFromPEM, jwt.ParseRSAPrivateKeyFromPEM)
	case *jwt.SigningMethodECDSA:
		return keyPair(public, private, jwt.ParseECPublicKeyFromPEM, jwt.ParseECPrivateKeyFromPEM)
	case *jwt.SigningMethodEd25519:
		return keyPair(public, private, edwardsPublic, edwardsPrivate)
	case *jwt.SigningMethodHMAC:
		if len(private) == 0 {
			return jwtKeys{}, errKeyMissing
		}
		return jwtKeys{sign: private, verify: private}, nil
	}
	return jwtKeys{}, fmt.Errorf("the method %s is not one to sign tokens with", method.Alg())
}

// publicKey is what the public keys of all kinds can do.
type publicKey interface {
	Equal(other crypto.PublicKey) bool
}

// keyPair parses the keys that are given. With the private one alone, its public part verifies.
func keyPair[P publicKey, S crypto.Signer](public, private []byte,
	parsePublic func([]byte) (P, error), parsePrivate func([]byte) (S, error),
) (keys jwtKeys, err error) {
	if len(public) == 0 && len(private) == 0 {
		return jwtKeys{}, errKeyMissing
	}
	var given publicKey
	if len(public) > 0 {
		if given, err = parsePublic(public); err != nil {
			return jwtKeys{}, fmt.Errorf("%s: %w", publicKeyOption, err)
		}
		keys.verify = given
	}
	if len(private) == 0 {
		return keys, nil
	}
	key, err := parsePrivate(private)
	if err != nil {
		return jwtKeys{}, fmt.Errorf("%s: %w", privateKeyOption, err)
	}
	if given != nil && !given.Equal(key.Public()) {
		return jwtKeys{}, errKeyMismatch
	}
	return jwtKeys{sign: key, verify: key.Public()}, nil
}

func edwardsPublic(data []byte) (ed25519.PublicKey, error) {
	key, err := jwt.ParseEdPublicKeyFromPEM(data)
	if err != nil {
		return nil, err
	}
	return key.(ed25519.PublicKey), nil
}

func edwardsPrivate(data []byte) (ed25519.PrivateKey, error) {
	key, err := jwt.ParseEdPrivateKeyFromPEM(data)
	if err != nil {
		return nil, err
	}
	return key.(ed25519.PrivateKey), nil
}
