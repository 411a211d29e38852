package object

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// List implements Store, a page of the bucket's at a time. What others put there under names
// that no object has is left out. A store that does not list in order, or loses its way between
// pages, is ErrUnfit: what it leaves out would look removed.
func (s *s3Store) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		l := s3Listing{store: s, prefix: prefix, after: after, last: after}
		for more := true; more; {
			page, err := l.next(ctx)
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, found := range page {
				info, err := l.take(found)
				if err == nil && info.Name == "" {
					continue
				}
				if !yield(info, err) || err != nil {
					return
				}
			}
			more = l.token != nil
		}
	}
}

// s3Listing is one listing under way.
type s3Listing struct {
	store         *s3Store
	prefix, after string
	// last is the name listed last, token that of the next page; nil at the beginning and the end.
	last  string
	token *string
}

// next reads a page.
func (l *s3Listing) next(ctx context.Context) ([]types.Object, error) {
	input := &s3.ListObjectsV2Input{
		Bucket: aws.String(l.store.location.Bucket), Prefix: aws.String(l.store.key(l.prefix)), ContinuationToken: l.token,
	}
	if l.after != "" {
		input.StartAfter = aws.String(l.store.key(l.after))
	}
	call := l.store.begin(ctx, "list", l.prefix)
	page, err := l.store.client.ListObjectsV2(call.ctx, input)
	if err := call.readEnded(err); err != nil {
		return nil, err
	}
	former := aws.ToString(l.token)
	l.token = nil
	if aws.ToBool(page.IsTruncated) {
		if l.token = page.NextContinuationToken; aws.ToString(l.token) == former {
			return nil, call.wrap(ErrUnfit, errors.New("it says that there is more, and not where"))
		}
	}
	return page.Contents, nil
}

// take is an object of a page; without a name if it is to be left out.
func (l *s3Listing) take(found types.Object) (Info, error) {
	name := strings.TrimPrefix(aws.ToString(found.Key), l.store.key(""))
	if checkName(name) != nil || name <= l.after {
		return Info{}, nil
	}
	if name <= l.last {
		return Info{}, failed("list", l.store.place(l.prefix), ErrUnfit, fmt.Errorf("it lists %s after %s: not in the order of bytes", name, l.last))
	}
	l.last = name
	return Info{Name: name, Size: aws.ToInt64(found.Size), Modified: aws.ToTime(found.LastModified)}, nil
}
