package grpcweb

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/wire"
)

// FuzzDecoder: however the letters are cut into pieces, the bytes are the same,
// and what was encoded comes back.
func FuzzDecoder(f *testing.F) {
	f.Add("aGVsbG8=", 3, "hello")
	f.Add("aA==aGk=aGVs", 1, "")
	f.Add("a*==", 2, "\x00\xff")
	f.Fuzz(func(t *testing.T, text string, cut int, raw string) {
		cut = min(max(cut, 0), len(text))
		whole, one := through(request("application/grpc-web-text"), decoder{}, &wire.Head{}, text)
		parts, two := through(request("application/grpc-web-text"), decoder{}, &wire.Head{}, text[:cut], text[cut:])
		if (one == filter.Failed) != (two == filter.Failed) {
			t.Fatalf("%q: %v as a whole, %v cut at %d", text, one, two, cut)
		}
		if got := strings.Join(parts, ""); one != filter.Failed && got != strings.Join(whole, "") {
			t.Fatalf("%q: %q as a whole, %q cut at %d", text, whole, parts, cut)
		}
		out, step := through(request("application/grpc-web-text"), decoder{}, &wire.Head{}, base64.StdEncoding.EncodeToString([]byte(raw)))
		if step == filter.Failed || strings.Join(out, "") != raw {
			t.Fatalf("%q comes back as %q", raw, out)
		}
	})
}
