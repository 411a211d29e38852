package hot_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// scriptCommands are the commands that the scripts call, and where. It fails the test
// where one is called by a name that is not written out.
func scriptCommands(t *testing.T) map[string]string {
	t.Helper()
	calls := regexp.MustCompile(`\b(?:call|pcall|in_chunks)\(\s*([^,)\s]+)`)
	all := make(map[string]string)
	files, err := filepath.Glob("lua/*.lua")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	note := func(where, text string) {
		for _, match := range calls.FindAllStringSubmatch(text, -1) {
			name := strings.Trim(match[1], `'"`)
			switch {
			case name != match[1]:
				all["+"+strings.ToLower(name)] = where
			case name != "command": // in_chunks' own call and declaration
				t.Errorf("%s calls %s, which is not written out", where, match[1])
			}
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code := regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(string(text), "")
		note(filepath.Base(file), code)
	}
	text, err := os.ReadFile("replicas.go")
	if err != nil {
		t.Fatal(err)
	}
	note("replicas.go", string(text))
	return all
}

// clientMethods are the methods of go-redis that this package calls, and the rights that
// they need. Do's commands are in clientCommands.
func clientMethods() map[string]string {
	return map[string]string{
		"HGet": "+hget", "HGetAll": "+hgetall", "HMGet": "+hmget", "Exists": "+exists", "XRead": "+xread", "XRevRangeN": "+xrevrange",
		"Info": "+info", "ConfigGet": "+config|get", "ScriptLoad": "+script|load", "TxPipelined": "+multi +exec",
		"HLen": "+hlen", "HScan": "+hscan", "Set": "+set", "GetEx": "+getex", "Unlink": "+unlink",
	}
}

// clientCommands are the rights for what go-redis does by itself, and why.
func clientCommands() map[string]string {
	return map[string]string{
		"+client|setname": "each connection says that it is tierd's",
		"+select":         "a URL that names another database than 0",
		"+cluster|slots":  "a Redis Cluster: where slots are",
		"+command":        "a Redis Cluster: which of a command's words are keys",
	}
}

// goCommands are the commands that this package's own calls need, and where.
func goCommands(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.CallExpr:
				if method, ok := n.Fun.(*ast.SelectorExpr); ok {
					if onRedis(method.X) && clientMethods()[method.Sel.Name] == "" && !slices.Contains([]string{"Do", "Pipelined", "Close"}, method.Sel.Name) {
						t.Errorf("%s calls %s, of which clientMethods says nothing", name, method.Sel.Name)
					}
					for right := range strings.FieldsSeq(clientMethods()[method.Sel.Name]) {
						if len(n.Args) > 0 && isContext(n.Args[0]) {
							all[right] = name
						}
					}
				}
			case *ast.BasicLit:
				text, err := strconv.Unquote(n.Value)
				if n.Kind == token.STRING && err == nil && slices.Contains([]string{"evalsha", "eval", "wait"}, text) {
					all["+"+text] = name
				}
			}
			return true
		})
	}
	return all
}

// onRedis says whether an expression is the connections to Redis, c.parts.Redis.
func onRedis(expression ast.Expr) bool {
	field, ok := expression.(*ast.SelectorExpr)
	return ok && field.Sel.Name == "Redis"
}

// isContext tells a call to Redis from another method of the same name.
func isContext(argument ast.Expr) bool {
	name, ok := argument.(*ast.Ident)
	return ok && name.Name == "ctx"
}

// deploy/redis/users.acl gives the rights to what the scripts and this package call, and to
// nothing else.
func TestRightsAreExact(t *testing.T) {
	t.Parallel()
	needed := scriptCommands(t)
	for _, more := range []map[string]string{goCommands(t), clientCommands()} {
		for right, where := range more {
			needed[right] = where
		}
	}
	text, err := fs.ReadFile(os.DirFS("../../deploy/redis"), "users.acl")
	if err != nil {
		t.Fatal(err)
	}
	var given []string
	for line := range strings.Lines(string(text)) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "+") {
				given = append(given, word)
			}
		}
	}
	for right, where := range needed {
		if !slices.Contains(given, right) {
			t.Errorf("deploy/redis/users.acl does not give %s: %s", right, where)
		}
	}
	for _, right := range given {
		if needed[right] == "" {
			t.Errorf("deploy/redis/users.acl gives %s, which nothing needs", right)
		}
	}
}
