package seal_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// records are like those of an archive: values that differ in parts.
func records(bytesMin int) []byte {
	var b bytes.Buffer
	random := noise(256)
	for i := 0; b.Len() < bytesMin; i++ {
		fmt.Fprintf(&b, "/registry/pods/namespace-%d/pod-%d {\"kind\":\"Pod\",\"uid\":\"%x\",\"phase\":\"Running\",\"image\":\"registry.example/app:v%d\"}", i%17, i, random[i%200:i%200+16], i%5)
	}
	return b.Bytes()[:bytesMin]
}

// TestMemoryIsFlat seals and opens far more than it may allocate meanwhile. It does not run
// beside other tests, whose memory it would count.
func TestMemoryIsFlat(t *testing.T) {
	keyring := newKeyring(t, newStore(t), newMaster(t))
	const pieces, allocatedMax = 43, 96 << 20
	// Longer than compression looks back: it finds nothing to leave out.
	piece := noise(6 << 20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	from, to := io.Pipe()
	go func() {
		w, err := keyring.Seal("ks/base/1", to)
		for i := 0; err == nil && i < pieces; i++ {
			_, err = w.Write(piece)
		}
		if err == nil {
			err = w.Close()
		}
		to.CloseWithError(err)
	}()
	plain, err := keyring.Open("ks/base/1", from)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, plain)
	if err != nil || n != pieces*int64(len(piece)) {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > allocatedMax {
		t.Fatalf("%d bytes were allocated for a stream of %d", allocated, n)
	}
}

func BenchmarkSeal(b *testing.B) {
	keyring := newKeyring(b, newStore(b), newMaster(b))
	for _, size := range []int{10 << 10, 4 << 20, 64 << 20} {
		content := records(size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				b.ReportMetric(float64(len(sealed(b, keyring, "ks/log/1", content)))/float64(size), "stored/byte")
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	keyring := newKeyring(b, newStore(b), newMaster(b))
	for _, size := range []int{10 << 10, 4 << 20, 64 << 20} {
		object := sealed(b, keyring, "ks/log/1", records(size))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				plain, err := keyring.Open("ks/log/1", bytes.NewReader(object))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
