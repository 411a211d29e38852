// Command roots prints the certificates of the public authorities, in PEM, as the module
// golang.org/x/crypto/x509roots/fallback has them: Mozilla's. They are a part of the image, and
// as their module is pinned here, with its checksum, they are the same wherever it is built.
//
// It is a module of its own: the program that is shipped does not depend on it.
package main

import (
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	for root := range bundle.Roots() {
		if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			fmt.Fprintln(os.Stderr, "roots:", err)
			os.Exit(1)
		}
	}
}
