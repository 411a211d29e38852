package object

import (
	"strings"
	"testing"
)

// FuzzLocation: a place is taken for what its own text says again, or refused; and whoever
// writes credentials into it by mistake does not read them again.
func FuzzLocation(f *testing.F) {
	for _, text := range []string{
		"none", "file:///var/lib/objects", "file://", "s3://bucket/prefix?region=r&endpoint=https://host:9000&path-style=true&sse=aws:kms:key",
		"s3://bucket", "s3://BUCKET/", "s3://bucket/../..//x/", "s3://bucket?region=a&region=b", "s3://bucket#f", "s3://b%zz", "https://host",
	} {
		f.Add(text, "")
	}
	for _, secret := range []string{"secret", "sec/ret", "12345/ret", "sec?ret", "12345?x=y", "12345#ret", "s%zzt", "[::1"} {
		f.Add("bucket/prefix", secret)
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		const bytesMin = 4
		said := func(secret string) string {
			location, err := ParseLocation("s3://AKIA:" + secret + "@" + text)
			if err != nil {
				return err.Error()
			}
			return location.String()
		}
		if words := said(secret); len(secret) >= bytesMin && strings.Contains(words, secret) && !strings.Contains(text+said("Q7"), secret) {
			t.Fatalf("%q is told in %q", secret, words)
		}
		location, err := ParseLocation(text)
		if err != nil || location.Kind != KindS3 {
			return
		}
		again, err := ParseLocation(location.String())
		if err != nil || again.Bucket != location.Bucket || again.Prefix != location.Prefix {
			t.Fatalf("%q is %+v, which is written %q: %+v, %v", text, location, location, again, err)
		}
	})
}
