// Package object is the object tier: a local directory, or a bucket of S3 or of a
// compatible store, in which the archives of keyspaces live. It knows names and bytes and
// nothing of what they mean.
//
// An object is there as a whole or not at all, whenever a process or the machine stops, and
// is never overwritten by Create: that is what fences writers from each other. What
// a process that was killed leaves behind (a file that is not named yet, parts of an upload)
// is in no listing.
package object

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Kind says what sort of place a Location is.
type Kind int

const (
	// KindNone: there is no object tier.
	KindNone Kind = iota
	// KindFile is a directory of this machine.
	KindFile
	// KindS3 is a bucket of S3 or of a store that speaks its protocol.
	KindS3
)

// Location is a place for objects. It is a value; the zero value is no place.
type Location struct {
	Kind Kind
	// Dir is the absolute directory of a KindFile.
	Dir string
	// Bucket and Prefix are those of a KindS3; Prefix has no slash at either end
	// and may be empty.
	Bucket, Prefix string
	// Region and Endpoint override what the environment says; Endpoint is the URL
	// of a store other than S3 itself. PathStyle puts the bucket in the path of
	// requests instead of the host name.
	Region, Endpoint string
	PathStyle        bool
	// SSE is how the store is to encrypt what it keeps: "" for its default, AES256 or
	// aws:kms. SSEKey is the id or the ARN of the key of aws:kms; "" for the account's.
	SSE, SSEKey string
}

// What SSE may be.
const (
	sseAES256 = "AES256"
	sseKMS    = "aws:kms"
)

// bucketPattern is what S3 accepts as the name of a bucket.
var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParseLocation reads a place as users write it:
//
//	none                             no object tier
//	file:///var/lib/tierd/objects    a directory; file://DIR is relative to here
//	s3://bucket/prefix?region=R&endpoint=https://HOST&path-style=true&sse=aws:kms:KEY
//
// The parameters of s3:// are optional; an unknown one is an error. sse is AES256, aws:kms
// or aws:kms: and the id or ARN of a key. Credentials
// are never part of a place: they come from the environment, as the S3 tools
// expect them. An error is one sentence.
func ParseLocation(text string) (Location, error) {
	if text == "none" {
		return Location{}, nil
	}
	if dir, found := strings.CutPrefix(text, "file://"); found {
		return parseFile(dir)
	}
	const credentials = "must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"
	secret := strings.Contains(text, "@") // what is not a place is then not repeated
	if !strings.HasPrefix(text, "s3://") {
		if secret {
			return Location{}, errors.New("the object tier is none of file://DIR, s3://bucket/prefix and none, and " + credentials)
		}
		return Location{}, fmt.Errorf("the object tier %q is none of file://DIR, s3://bucket/prefix and none", text)
	}
	u, err := url.Parse(text)
	if err != nil {
		// url.Error repeats the URL, where someone may have put a secret.
		if parse := (*url.Error)(nil); errors.As(err, &parse) {
			err = parse.Err
		}
		if secret {
			err = errors.New("it " + credentials)
		}
		return Location{}, fmt.Errorf("the object tier's URL cannot be read: %w", err)
	}
	if secret && u.User == nil && !bucketPattern.MatchString(u.Host) {
		return Location{}, errors.New("the object tier " + credentials)
	}
	return parseS3(u)
}

// parseFile takes the directory as it is written: no escapes, no parameters.
func parseFile(dir string) (Location, error) {
	if dir == "" {
		return Location{}, errors.New("the object tier file:// names no directory")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Location{}, fmt.Errorf("find the directory %s: %w", dir, err)
	}
	return Location{Kind: KindFile, Dir: abs}, nil
}

func parseS3(u *url.URL) (Location, error) {
	name := "s3://" + u.Host + u.Path
	switch {
	case u.User != nil:
		return Location{}, fmt.Errorf("the object tier %s must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role", name)
	case !bucketPattern.MatchString(u.Host):
		return Location{}, fmt.Errorf("the object tier %s has no valid bucket name: S3 takes 3 to 63 lower-case letters, digits, dots and hyphens", name)
	case u.Fragment != "":
		return Location{}, fmt.Errorf("the object tier %s must not have a fragment", name)
	}
	location := Location{Kind: KindS3, Bucket: u.Host, Prefix: strings.Trim(path.Clean("/"+u.Path), "/")}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, fmt.Errorf("the parameters of the object tier %s cannot be read: %w", name, err)
	}
	for _, parameter := range sortedNames(query) {
		if err := location.set(parameter, query[parameter]); err != nil {
			return Location{}, fmt.Errorf("the object tier %s %w", name, err)
		}
	}
	return location, nil
}

// set takes one parameter of an s3:// URL.
func (l *Location) set(name string, values []string) error {
	if len(values) != 1 || values[0] == "" {
		return fmt.Errorf("must have one value for %q", name)
	}
	value := values[0]
	switch name {
	case "region":
		l.Region = value
	case "endpoint":
		if strings.Contains(value, "@") {
			return errors.New("must not hold credentials in its endpoint")
		}
		u, err := url.Parse(value)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("has the endpoint %q, which is no http or https URL", value)
		}
		l.Endpoint = value
	case "path-style":
		if value != "true" && value != "false" {
			return fmt.Errorf("has path-style %q, which is neither true nor false", value)
		}
		l.PathStyle = value == "true"
	case "sse":
		key, keyed := strings.CutPrefix(value, sseKMS+":")
		switch {
		case keyed && key != "":
			l.SSE, l.SSEKey = sseKMS, key
		case value == sseKMS, value == sseAES256:
			l.SSE = value
		default:
			return fmt.Errorf("has sse %q, which is none of AES256, aws:kms and aws:kms:KEY", value)
		}
	default:
		return fmt.Errorf("has an unknown parameter %q: region, endpoint, path-style and sse are known", name)
	}
	return nil
}

// sortedNames makes the first error the same one each time.
func sortedNames(query url.Values) []string {
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// String is the place as ParseLocation reads it, without its parameters.
func (l Location) String() string {
	switch l.Kind {
	case KindFile:
		return "file://" + l.Dir
	case KindS3:
		return strings.TrimSuffix("s3://"+l.Bucket+"/"+l.Prefix, "/")
	default:
		return "none"
	}
}
