// Command tool prints where a program is that packages are made with, built if it was not yet: goreleaser, helm or crane.
package main

import (
	"fmt"
	"os"

	"github.com/tierd/tierd/test/packages"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	for _, t := range []packages.Tool{packages.Goreleaser(), packages.Helm(), packages.Crane()} {
		if len(arguments) == 1 && arguments[0] == t.Name {
			path, err := t.Path()
			if err != nil {
				return err
			}
			_, err = fmt.Println(path)
			return err
		}
	}
	return fmt.Errorf("usage: tool goreleaser|helm|crane")
}
