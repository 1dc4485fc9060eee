package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// hello is what crypto/tls sends first.
func hello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = tls.Client(client, cfg).HandshakeContext(ctx) // nobody answers
		client.Close()
	}()
	if err := server.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// split cuts the message of a record into records of so many bytes.
func split(record []byte, size int) (out []byte) {
	for body := record[5:]; len(body) > 0; {
		n := min(size, len(body))
		out = append(append(out, 22, 3, 1, byte(n>>8), byte(n)), body[:n]...)
		body = body[n:]
	}
	return out
}

func TestSniffServerName(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*tls.Config{
		"db.example.com": {ServerName: "DB.example.com"},
		"a.example":      {ServerName: "a.example", MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		"":               {ServerName: "192.0.2.1"},
	} {
		first := hello(t, cfg)
		for _, text := range [][]byte{first, split(first, 100), split(first, 7)} {
			if got, done, err := SniffServerName(append(bytes.Clone(text), "more"...)); got != name || !done || err != nil {
				t.Errorf("%q, %v, %v; want %q", got, done, err, name)
			}
			for i := range len(text) {
				if got, done, err := SniffServerName(text[:i]); got != "" || done || err != nil {
					t.Fatalf("of %d bytes: %q, %v, %v", i, got, done, err)
				}
			}
		}
	}
}

func TestSniffRefuses(t *testing.T) {
	t.Parallel()
	good := hello(t, &tls.Config{ServerName: "db.example.com"})
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	name := bytes.Index(good, []byte("db.example.com"))
	for what, b := range map[string][]byte{
		"HTTP":                     []byte("GET / HTTP/1.1\r\n"),
		"an alert":                 {21, 3, 1, 0, 2, 2, 40},
		"SSL 2":                    {0x80, 0x2e, 1, 0, 2},
		"an empty record":          {22, 3, 1, 0, 0},
		"a record that is too big": {22, 3, 1, 0x40, 1},
		"another message":          change(5, 2),
		"a length beyond reason":   change(6, 1),
		"an odd session":           change(5+4+34, 255),
		"a name with a space":      change(name, ' '),
		"another kind of name":     change(name-3, 1),
		"a name that is too long":  change(name-1, 200),
	} {
		if got, done, err := SniffServerName(b); err == nil || done || got != "" {
			t.Errorf("%s: %q, %v, %v", what, got, done, err)
		}
	}
	long := append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc}, make([]byte, 100)...)
	if _, done, err := SniffServerName(long); done || err != nil {
		t.Errorf("the beginning of a long one: %v, %v", done, err)
	}
}

func FuzzSniffServerName(f *testing.F) {
	one := hello(f, &tls.Config{ServerName: "db.example.com"})
	f.Add(one)
	f.Add(split(one, 50))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, done, err := SniffServerName(b)
		if (err != nil || !done) && name != "" || err != nil && done || len(name) > 255 {
			t.Fatalf("%q, %v, %v", name, done, err)
		}
		if !done && err == nil && len(b) > helloMost {
			t.Fatal("it waits for ever")
		}
		if done {
			if again, k, wrong := SniffServerName(append(bytes.Clone(b), 0)); again != name || !k || wrong != nil {
				t.Fatalf("with more behind: %q, %v, %v", again, k, wrong)
			}
		}
	})
}
