package auth

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/router"
)

// provider gives tokens to users, and tells whose a token is.
type provider interface {
	// issue gives a user who has proved its identity a token. The keyspace's revision
	// makes part of what the token looks like.
	issue(ctx context.Context, st *state, name string, at router.Revision) (string, error)
	// identify says whose the token is, in a state; valid is false for a token that is
	// nobody's, or not any more.
	identify(ctx context.Context, st *state, token string) (who identity, valid bool, err error)
}

// newProvider makes the provider that the settings name.
func newProvider(settings Settings, components Components) (provider, error) {
	kind, options, err := parseSpec(settings.Token)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "simple":
		return newSimpleTokens(components.API, settings.TokenTTL, components.Now), nil
	case "jwt":
		return newJWTs(options, components)
	case "":
		return noTokens{}, nil
	}
	return nil, fmt.Errorf("the kind of token %q is neither simple nor jwt", kind)
}

// CheckToken says what is wrong with Settings.Token; it reads the files that it names.
func CheckToken(spec string) error {
	_, err := newProvider(Settings{Token: spec}, Components{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	return err
}

// parseSpec takes apart "kind,name=value,...".
func parseSpec(spec string) (kind string, options map[string]string, err error) {
	parts := strings.Split(spec, ",")
	options = make(map[string]string, len(parts)-1)
	for _, part := range parts[1:] {
		name, value, found := strings.Cut(part, "=")
		if !found || strings.Contains(value, "=") {
			return "", nil, fmt.Errorf("the token option %q is not name=value", part)
		}
		if _, twice := options[name]; twice {
			return "", nil, fmt.Errorf("the token option %s is given twice", name)
		}
		options[name] = value
	}
	return parts[0], options, nil
}

// noTokens is for keyspaces whose users have certificates only.
type noTokens struct{}

func (noTokens) issue(context.Context, *state, string, router.Revision) (string, error) {
	return "", rpctypes.ErrGRPCAuthFailed
}

func (noTokens) identify(context.Context, *state, string) (identity, bool, error) {
	return identity{}, false, nil
}
