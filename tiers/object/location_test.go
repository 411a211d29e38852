package object_test

import (
	"testing"

	"github.com/tierd/tierd/tiers/object"
)

func TestParseLocation(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text   string
		want   object.Location
		string string
	}{
		{"none", object.Location{}, "none"},
		{"file:///var/lib/x y%20z", object.Location{Kind: object.KindFile, Dir: "/var/lib/x y%20z"}, "file:///var/lib/x y%20z"},
		{"file:///a/../b/", object.Location{Kind: object.KindFile, Dir: "/b"}, "file:///b"},
		{"s3://bucket", object.Location{Kind: object.KindS3, Bucket: "bucket"}, "s3://bucket"},
		{"s3://bucket/", object.Location{Kind: object.KindS3, Bucket: "bucket"}, "s3://bucket"},
		{"s3://my.bucket/a//b/", object.Location{Kind: object.KindS3, Bucket: "my.bucket", Prefix: "a/b"}, "s3://my.bucket/a/b"},
		{"s3://bucket/p?region=eu-west-1&endpoint=http://127.0.0.1:9000&path-style=true",
			object.Location{Kind: object.KindS3, Bucket: "bucket", Prefix: "p", Region: "eu-west-1", Endpoint: "http://127.0.0.1:9000", PathStyle: true},
			"s3://bucket/p"},
		{"s3://bucket/p?sse=AES256", object.Location{Kind: object.KindS3, Bucket: "bucket", Prefix: "p", SSE: "AES256"}, "s3://bucket/p"},
		{"s3://bucket/p?sse=aws:kms", object.Location{Kind: object.KindS3, Bucket: "bucket", Prefix: "p", SSE: "aws:kms"}, "s3://bucket/p"},
		{"s3://bucket/p?sse=aws:kms:arn:aws:kms:eu-west-1:1:key/2",
			object.Location{Kind: object.KindS3, Bucket: "bucket", Prefix: "p", SSE: "aws:kms", SSEKey: "arn:aws:kms:eu-west-1:1:key/2"}, "s3://bucket/p"},
	}
	for _, c := range cases {
		got, err := object.ParseLocation(c.text)
		if err != nil || got != c.want || got.String() != c.string {
			t.Errorf("%s: got %+v (%s), %v, want %+v (%s)", c.text, got, got, err, c.want, c.string)
		}
		if again, err := object.ParseLocation(got.String()); err != nil || again.String() != c.string {
			t.Errorf("%s is not read back: %s, %v", got, again, err)
		}
	}
}

func TestParseLocationRefusals(t *testing.T) {
	t.Parallel()
	cases := []struct{ text, want string }{
		{"", `the object tier "" is none of file://DIR, s3://bucket/prefix and none`},
		{"gs://bucket", `the object tier "gs://bucket" is none of file://DIR, s3://bucket/prefix and none`},
		{"file://", "the object tier file:// names no directory"},
		{"s3://", "the object tier s3:// has no valid bucket name: S3 takes 3 to 63 lower-case letters, digits, dots and hyphens"},
		{"s3://Bucket/p", "the object tier s3://Bucket/p has no valid bucket name: S3 takes 3 to 63 lower-case letters, digits, dots and hyphens"},
		{"s3://id:secret@bucket/p", "the object tier s3://bucket/p must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role"},
		{"s3://bucket/p#x", "the object tier s3://bucket/p must not have a fragment"},
		{"s3://bucket/p?zone=1", `the object tier s3://bucket/p has an unknown parameter "zone": region, endpoint, path-style and sse are known`},
		{"s3://bucket/p?region=", `the object tier s3://bucket/p must have one value for "region"`},
		{"s3://bucket/p?region=a&region=b", `the object tier s3://bucket/p must have one value for "region"`},
		{"s3://bucket?endpoint=minio:9000", `the object tier s3://bucket has the endpoint "minio:9000", which is no http or https URL`},
		{"s3://bucket?endpoint=http://id:secret@minio", "the object tier s3://bucket must not hold credentials in its endpoint"},
		{"s3://bucket?sse=kms", `the object tier s3://bucket has sse "kms", which is none of AES256, aws:kms and aws:kms:KEY`},
		{"s3://bucket?sse=aws:kms:", `the object tier s3://bucket has sse "aws:kms:", which is none of AES256, aws:kms and aws:kms:KEY`},
		{"s3://bucket?path-style=yes", `the object tier s3://bucket has path-style "yes", which is neither true nor false`},
		{"s3://bucket?region=%zz", `the parameters of the object tier s3://bucket cannot be read: invalid URL escape "%zz"`},
		{"s3://id:sec%zzret@bucket/p", `the object tier's URL cannot be read: it must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role`},
	}
	for _, c := range cases {
		if got, err := object.ParseLocation(c.text); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %+v, %v, want %s", c.text, got, err, c.want)
		}
	}
}
