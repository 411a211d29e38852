package differential

import (
	"context"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"regexp"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
	"github.com/tierd/tierd/test/oracle"
)

var (
	selfFlag      = flag.Bool("self", false, "compare etcd with another etcd where users are, which shows that the requests are deterministic")
	authStepsFlag = flag.Int("auth-steps", 400, "requests per round where users are")
)

// speaker is somebody who makes calls: with a token of each system, or none.
type speaker struct {
	user   string
	tokens map[*system]string
	// field is the field of the metadata that the token stands in, prefix what is before it.
	field, prefix string
}

// on makes the calls of ctx the speaker's, on a system.
func (s *speaker) on(ctx context.Context, on *system) context.Context {
	if s == nil || s.field == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, s.field, s.prefix+s.tokens[on])
}

func (s *speaker) String() string {
	if s == nil || s.field == "" {
		return "nobody"
	}
	return fmt.Sprintf("%s (%s: %s...)", s.user, s.field, s.prefix)
}

// kindOfTokens is how both systems are told to make tokens.
type kindOfTokens struct {
	name string
	// option is --auth-token.
	option func(t *testing.T) string
	// shape is what every token looks like.
	shape *regexp.Regexp
	// stale says that a token is refused after any change of users and roles.
	stale bool
}

// authGame is a game in which it matters who asks.
type authGame struct {
	*game
	kind kindOfTokens
	// passwords of the users there are, as far as the game knows; "" for those without one.
	passwords map[string]string
	// speakers have shown a password at some time; root is one who may do everything.
	speakers []*speaker
	root     *speaker
	enabled  bool
	// permissionOf are permissions that some roles may have, to be revoked.
	permissionOf []*pb.AuthRoleRevokePermissionRequest
	// denied counts what was refused for want of a permission.
	denied int
}

// TestSameAnswersAsEtcdWithUsers: as TestSameAnswersAsEtcd, with users, roles and
// permissions at random that change all the time, and calls made as any of them, as
// nobody, with tokens that are old, and with what is no token.
func TestSameAnswersAsEtcdWithUsers(t *testing.T) {
	t.Parallel()
	for round := range *roundsFlag {
		for _, kind := range kindsOfTokens() {
			seed := seedOf(round)
			t.Run(fmt.Sprintf("%s, seed %d", kind.name, seed), func(t *testing.T) {
				t.Parallel()
				t.Logf("repeat with: go test ./test/differential -run 'WithUsers/%s' -seed %d -auth-steps %d -shards %d", kind.name, seed, *authStepsFlag, *shardsFlag)
				startWithUsers(t, seed, kind).play(*authStepsFlag)
			})
		}
	}
}

func startWithUsers(t *testing.T, seed uint64, kind kindOfTokens) *authGame {
	option := kind.option(t)
	etcd := func() *clientv3.Client {
		return oracle.Start(t, oracle.Options{Configure: func(c *embed.Config) {
			c.AuthToken, c.BcryptCost = option, uint(bcrypt.MinCost)
		}}).Client()
	}
	g := &game{
		T: t, generator: newGenerator(mathrand.New(mathrand.NewPCG(seed, 3))), tallies: make(map[string]*tally),
		steady: func() {}, etcd: plain(t, "etcd", etcd()),
	}
	if *selfFlag {
		g.tierd = plain(t, "the other etcd", etcd())
	} else {
		tierd, steady := startTierd(t, seed, false, "--auth-token", option, "--bcrypt-cost", fmt.Sprint(bcrypt.MinCost))
		var frontends []*clientv3.Client
		for _, f := range tierd.Frontends {
			frontends = append(frontends, f.Client())
		}
		g.tierd, g.steady = plain(t, "tierd", frontends...), steady
	}
	return &authGame{game: g, kind: kind, passwords: make(map[string]string)}
}

func (g *authGame) play(steps int) {
	for g.step = range steps {
		switch {
		case g.step%hashesEvery == hashesEvery-1:
			g.asRoot(func() { g.compareHashes(hashesMax) })
		case !g.enabled && g.chance(0.05):
			g.enable()
		default:
			g.one()
		}
	}
	g.asRoot(func() {
		g.compareHashes(int(g.revision) + 1)
		g.compareUsers()
	})
	g.steady()
	g.reportUsers(steps)
}

// one makes one step as somebody.
func (g *authGame) one() {
	g.Helper()
	g.as = g.somebody()
	switch kind := g.IntN(100); {
	case kind < 22:
		if g.chance(0.8) {
			g.refreshRoot()
			g.as = g.root
		}
		g.change(g.changeOfUsers())
	case kind < 28:
		g.call(g.questionAboutUsers())
	case kind < 34:
		g.watch()
	case kind < 37:
		g.lock()
	default:
		g.call(g.next())
	}
	g.as = nil
}

// call makes a call as who it is the turn of.
func (g *authGame) call(c call) error {
	g.Helper()
	if r, ok := c.request.(*pb.AuthenticateRequest); ok {
		g.authenticate(r.Name, r.Password)
		return nil
	}
	if _, ok := c.request.(*pb.AuthDisableRequest); ok && !g.chance(0.3) {
		return nil // it would be off nearly always
	}
	_, err := g.both(c)
	g.noteUsers(c.request, err)
	if err != nil && answers.ErrorText(err) == deniedText {
		g.denied++
	}
	return err
}

// authenticate shows a password, and keeps the tokens.
func (g *authGame) authenticate(name, password string) *speaker {
	g.Helper()
	as := g.as
	g.as = nil
	defer func() { g.as = as }()
	c := call{pb.Auth_Authenticate_FullMethodName, &pb.AuthenticateRequest{Name: name, Password: password}}
	s := &speaker{user: name, tokens: make(map[*system]string), field: "token"}
	var messages []proto.Message
	var errs []error
	for _, system := range []*system{g.etcd, g.tierd} {
		m, err := system.answer(g.Context(), call{c.method, proto.Clone(c.request)})
		if err == nil {
			r := m.(*pb.AuthenticateResponse)
			if !g.kind.shape.MatchString(r.Token) {
				g.Fatalf("step %d: %s made token %q", g.step, system.name, r.Token)
			}
			s.tokens[system], r.Token = r.Token, ""
		}
		messages, errs = append(messages, m), append(errs, err)
	}
	g.judge(c, messages[0], errs[0], messages[1], errs[1])
	if errs[0] != nil {
		return nil
	}
	switch g.IntN(4) {
	case 0:
		s.field = "authorization"
	case 1:
		s.field, s.prefix = "authorization", "Bearer "
	}
	g.speakers = append(g.speakers, s)
	if over := len(g.speakers) - speakersMax; over > 0 {
		g.speakers = slices.Delete(g.speakers, 0, over)
	}
	return s
}

// refreshRoot makes root somebody whom both systems believe.
func (g *authGame) refreshRoot() {
	g.Helper()
	if !g.enabled {
		g.root = nil
		return
	}
	if g.root != nil && !g.kind.stale {
		return
	}
	if g.root = g.authenticate("root", g.passwords["root"]); g.root == nil {
		g.Fatalf("step %d: root is not let in", g.step)
	}
}

// asRoot does something as root.
func (g *authGame) asRoot(do func()) {
	g.Helper()
	g.refreshRoot()
	g.as = g.root
	do()
	g.as = nil
}

// enable sees to it that root is there, and turns the checks on.
func (g *authGame) enable() {
	g.Helper()
	const password = "of root"
	g.as = nil
	if g.chance(0.3) {
		g.change(call{pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{}}) // root may not be there
	}
	if g.enabled {
		return
	}
	g.change(call{pb.Auth_UserDelete_FullMethodName, &pb.AuthUserDeleteRequest{Name: "root"}})
	g.change(call{pb.Auth_UserAdd_FullMethodName, &pb.AuthUserAddRequest{Name: "root", Password: password}})
	if g.chance(0.3) {
		g.change(call{pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{}}) // without the role
	}
	g.change(call{pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: "root"}})
	g.change(call{pb.Auth_UserGrantRole_FullMethodName, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}})
	g.change(call{pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{}})
}

// change makes a call of the Auth service, and looks at the revision after it.
func (g *authGame) change(c call) {
	g.Helper()
	g.call(c)
	if g.chance(0.2) {
		g.call(call{pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}})
	}
}

// compareUsers compares all users and roles there are.
func (g *authGame) compareUsers() {
	g.Helper()
	g.both(call{pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}})
	users, err := g.both(call{pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{}})
	if err != nil {
		g.Fatal(err)
	}
	for _, user := range users.(*pb.AuthUserListResponse).Users {
		g.both(call{pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: user}})
	}
	roles, err := g.both(call{pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{}})
	if err != nil {
		g.Fatal(err)
	}
	for _, role := range roles.(*pb.AuthRoleListResponse).Roles {
		g.both(call{pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: role}})
	}
}

// reportUsers logs what was compared, and fails if a method of the Auth service was
// never called, or nearly nothing was denied.
func (g *authGame) reportUsers(steps int) {
	g.Helper()
	for method := range g.etcd.methods {
		if t := g.tallies[method]; t != nil {
			g.Logf("%-45s answered %5d, refused %5d", method, t.answered, t.refused)
		}
	}
	g.Logf("denied for want of a permission: %d", g.denied)
	if steps >= authReportMin && g.denied < steps/50 {
		g.Errorf("only %d calls of %d steps were denied for want of a permission", g.denied, steps)
	}
}
