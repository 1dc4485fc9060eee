package http2

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2/hpack"
)

func TestHuffmanCodes(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		// Three make most codes end within an octet.
		s := string([]byte{byte(c), byte(c), byte(c)})
		want := hpack.AppendHuffmanString(nil, s)
		if got := appendHuffman(nil, s); !bytes.Equal(got, want) || huffmanSize(s) != len(want) {
			t.Errorf("%#x: got %x of size %d, want %x", c, got, huffmanSize(s), want)
		}
	}
}

func TestHuffmanRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		s := randomFields{r}.octets(r.IntN(100))
		code := appendHuffman(nil, s)
		got, ok := decodeHuffman([]byte("kept"), code)
		if !ok || string(got) != "kept"+s {
			t.Fatalf("%q became %q, %v", s, got, ok)
		}
	}
}

// Any octets are accepted and understood as x/net does.
func TestHuffmanOfAnything(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	accepted := 0
	for range 40_000 {
		src := make([]byte, r.IntN(12))
		for i := range src {
			x := r.Uint32()
			src[i] = byte(x) | byte(x>>8)&byte(x>>16) // more ones than zeros
		}
		if len(src) > 0 && r.IntN(2) == 0 {
			src[len(src)-1] |= 1<<r.IntN(9) - 1
		}
		want, err := hpack.HuffmanDecodeToString(src)
		got, ok := decodeHuffman(nil, src)
		if ok != (err == nil) || ok && string(got) != want {
			t.Fatalf("%x: got %q, %v; x/net %q, %v", src, got, ok, want, err)
		}
		if ok {
			accepted++
		}
	}
	if accepted < 200 {
		t.Errorf("only %d were accepted", accepted)
	}
}
