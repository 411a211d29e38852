package feed

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/router/feed/feedtest"
)

// BenchmarkFanOut is one event to 100 watchers on streams of their own: all of
// one range, and each of a range of its own beside 100 that do not match.
func BenchmarkFanOut(b *testing.B) {
	for name, end := range map[string]func(int) string{
		"same range":   func(int) string { return "l" },
		"other ranges": func(i int) string { return fmt.Sprintf("k%03d", i) },
	} {
		b.Run(name, func(b *testing.B) {
			source := feedtest.NewSource()
			f := New(source, Settings{}, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
			defer f.Close()
			var streams []*Stream
			for i := range 200 {
				s, err := f.Open(false)
				if err != nil {
					b.Fatal(err)
				}
				request := Request{Key: []byte("k"), End: []byte(end(i)), Range: true, PrevKV: true}
				if i >= 100 {
					request.Key, request.End = fmt.Appendf(nil, "z%d", i), nil
				}
				if _, err := s.Watch(context.Background(), request); err != nil {
					b.Fatal(err)
				}
				s.Next()
				streams = append(streams, s)
			}
			b.ReportAllocs()
			for b.Loop() {
				source.Put("k", "value")
				for _, s := range streams[:100] {
					<-s.Ready()
					for _, ok := s.Next(); ok; _, ok = s.Next() {
					}
				}
			}
		})
	}
}
