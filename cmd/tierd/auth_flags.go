package main

import (
	"math"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/bcrypt"

	"github.com/tierd/tierd/functions/auth"
)

// authFlags are the settings of users' tokens and passwords, as etcd has them.
type authFlags struct {
	token      string
	tokenTTL   uint
	bcryptCost uint
}

// tokenTTLMax is the most seconds that a duration holds.
const tokenTTLMax = uint(math.MaxInt64 / int64(time.Second))

func (a *authFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&a.token, "auth-token", "simple", `how users prove who they are: "simple", or signed tokens as "jwt,pub-key=FILE,priv-key=FILE,sign-method=METHOD,ttl=DURATION"`)
	fs.UintVar(&a.tokenTTL, "auth-token-ttl", 300, "how long a simple token lives after its last use, in seconds; 0 means 300")
	fs.UintVar(&a.bcryptCost, "bcrypt-cost", uint(bcrypt.DefaultCost), "cost of the hashes of passwords, from 4 to 31: each step doubles the work")
}

// check checks the settings, and reads the files of keys.
func (a *authFlags) check(c *config) error {
	if a.tokenTTL > tokenTTLMax {
		return usage("--auth-token-ttl must be at most %d, not %d", tokenTTLMax, a.tokenTTL)
	}
	if a.bcryptCost < uint(bcrypt.MinCost) || a.bcryptCost > uint(bcrypt.MaxCost) {
		return usage("--bcrypt-cost must be from %d to %d, not %d", bcrypt.MinCost, bcrypt.MaxCost, a.bcryptCost)
	}
	c.Endpoint.Auth = auth.Settings{
		Token: a.token, TokenTTL: time.Duration(a.tokenTTL) * time.Second, BcryptCost: int(a.bcryptCost),
	}
	if err := auth.CheckToken(a.token); err != nil {
		return usage("--auth-token cannot be used: %v", err)
	}
	return nil
}
