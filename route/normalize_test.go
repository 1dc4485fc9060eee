package route

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	const bad = "bad"
	for _, c := range []struct{ path, want string }{
		// As it is.
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"/a/b/", "/a/b/"},
		{"*", "*"},
		{"/.well-known/x", "/.well-known/x"},
		{"/...", "/..."},
		{"/a..b/.c/d.", "/a..b/.c/d."},
		{"/a;b=c/d:e@f", "/a;b=c/d:e@f"},
		{"/{a}|b^[c]\"", "/{a}|b^[c]\""},
		{"/a%20b", "/a%20b"},
		{"/a%2Fb", "/a%2Fb"},
		{"/%252e%252e/", "/%252e%252e/"},
		// Encodings.
		{"/a%2fb", "/a%2Fb"},
		{"/%41%7a%30%2D%2e%5F%7E", "/Az0-._~"},
		{"/%e2%82%ac", "/%E2%82%AC"},
		{"/\xe2\x82\xac", "/%E2%82%AC"},
		{"/a%5cb", "/a%5Cb"},
		{"/%zz", bad},
		{"/%4", bad},
		{"/%", bad},
		{"/a%00b", bad},
		// Dot segments: RFC 3986 section 5.4 where it has the case.
		{"/b/c/./g", "/b/c/g"},
		{"/b/c/g/", "/b/c/g/"},
		{"/b/c/.", "/b/c/"},
		{"/b/c/./", "/b/c/"},
		{"/b/c/..", "/b/"},
		{"/b/c/../", "/b/"},
		{"/b/c/../g", "/b/g"},
		{"/b/c/../..", "/"},
		{"/b/c/../../", "/"},
		{"/b/c/../../g", "/g"},
		{"/b/c/g.", "/b/c/g."},
		{"/b/c/..g", "/b/c/..g"},
		{"/b/c/./g/.", "/b/c/g/"},
		{"/b/c/g;x=1/../y", "/b/c/y"},
		{"/a/%2e%2E/b", "/b"},
		{"/a/.%2e/b", "/b"},
		{"/a/%2e/b", "/a/b"},
		{"/b/c/../../../g", bad},
		{"/..", bad},
		{"/../a", bad},
		{"/%2e%2e/a", bad},
		{"/a/../../b", bad},
		// Slashes.
		{"//", "/"},
		{"//admin", "/admin"},
		{"/a//b///c//", "/a/b/c/"},
		{"/a//../b", "/b"},
		{"//..", bad},
		// What others take for dot segments.
		{"/a/..;/b", bad},
		{"/a/..;x=1/b", bad},
		{"/a/.;/b", bad},
		{"/a/..%3bx/b", bad},
		{"/a/..%2fb", bad},
		{"/a/b%2f..", bad},
		{"/a/b%2F..%2Fc", bad},
		{"/a/%2e%2e%5cb", bad},
		{"/a/b%2F.%2Fc", bad},
		{"/a/x..%2Fb", "/a/x..%2Fb"},
		// Not a path.
		{"/a\\b", bad},
		{"/a b", bad},
		{"/a\x01", bad},
		{"/a\x7f", bad},
		{"/a#b", bad},
		{"/a?b", bad},
		{"a", bad},
		{"**", bad},
		{"", "/"},
	} {
		got, ok := Normalize([]byte(c.path), nil)
		if !ok {
			got = []byte(bad)
		}
		if string(got) != c.want {
			t.Errorf("%q: %q, want %q", c.path, got, c.want)
		}
	}
}

func TestNormalizeCopiesOnlyWhatChanges(t *testing.T) {
	path := []byte("/api/v1/orders/0123456789/items")
	tmp := make([]byte, 0, 256)
	if out, ok := Normalize(path, tmp); !ok || &out[0] != &path[0] {
		t.Error("a normal path was copied")
	}
	twisted := []byte("/api//v1/./x/../orders/%41\xff")
	if out, ok := Normalize(twisted, tmp); !ok || &out[0] != &tmp[:1][0] {
		t.Error("the path was not written to tmp")
	}
	for _, p := range [][]byte{path, twisted} {
		if n := testing.AllocsPerRun(100, func() { Normalize(p, tmp) }); n != 0 {
			t.Errorf("%s: %v allocations", p, n)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/", "//a//", "/a%2Fb/..;x", "/\xff/%ff", "/a/b%2F..", "/..%3B", "*"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		before := bytes.Clone(path)
		out, ok := Normalize(path, nil)
		if !bytes.Equal(before, path) {
			t.Fatal("the path was changed")
		}
		if !ok || string(out) == "*" {
			return
		}
		if len(out) > 3*len(path)+1 {
			t.Fatalf("%q became %q", path, out)
		}
		again, ok := Normalize(out, nil)
		if !ok || !bytes.Equal(again, out) {
			t.Fatalf("%q: %q became %q, %v", path, out, again, ok)
		}
		if out[0] != '/' || bytes.Contains(out, []byte("//")) {
			t.Fatalf("%q: %q", path, out)
		}
		decoded, err := url.PathUnescape(string(out))
		if err != nil {
			t.Fatalf("%q: %q: %v", path, out, err)
		}
		// The most that a server could read into it.
		for s := range strings.FieldsFuncSeq(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
			if s, _, _ = strings.Cut(s, ";"); s == "." || s == ".." {
				t.Fatalf("%q: %q has a dot segment", path, out)
			}
		}
		for _, c := range out {
			if c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '?' {
				t.Fatalf("%q: %q has %q", path, out, c)
			}
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	tmp := make([]byte, 0, 256)
	for _, c := range []struct{ name, path string }{
		{"normal", "/api/v1/orders/0123456789"},
		{"encoded", "/api/v1/orders/a%20b"},
		{"twisted", "/api//v1/./x/../orders/%41"},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := []byte(c.path)
			for b.Loop() {
				Normalize(path, tmp)
			}
		})
	}
}
