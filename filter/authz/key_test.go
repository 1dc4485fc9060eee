package authz

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/wire"
)

// asked is a request with some fields.
func asked(fields ...string) *filter.Exchange {
	x := &filter.Exchange{Port: 8080}
	x.Peer = &wire.Peer{Remote: netip.MustParseAddrPort("192.0.2.7:4711")}
	x.Request.Method, x.Request.Path = []byte("GET"), []byte("/shop/cart")
	for i := 0; i < len(fields); i += 2 {
		x.Request.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	return x
}

func TestKeyIsWhatTheExpressionGives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`request.headers["x-user"]`, "ada"},
		{`request.headers["x-user"] + "/" + request.path.split("/")[1]`, "-"},
		{`request.path.startsWith("/shop") ? request.headers["x-user"] : source.address`, "ada"},
		{`source.address`, "192.0.2.7"},
		{`int(request.headers["x-shard"]) % 3`, "1"},
		{`request.headers["x-none"]`, ""},
		{`"x-none" in request.headers ? request.headers["x-none"] : ""`, ""},
		{`request.method == "GET"`, "true"},
		{`bytes(request.headers["x-user"])`, "ada"},
		{`1.5`, "1.5"},
		{`claims["sub"]`, ""},
		{`destination.port`, "8080"},
	} {
		k, err := NewKey(c.text)
		if err != nil {
			if c.want != "-" {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		got, ok := k.Key([]byte("before "), asked("X-User", "ada", "X-Shard", "7"))
		if string(got) != "before "+c.want || ok != (c.want != "") {
			t.Errorf("%s gives %q, %v", c.text, got, ok)
		}
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`request.headers`:          "it gives map(string, string), and must give text",
		`request.header["x"]`:      "1:8: undeclared reference to 'request.header'",
		`now`:                      "it gives google.protobuf.Timestamp",
		strings.Repeat("1+", 600):  "1200 characters, 1024 are allowed",
		`"a`:                       "1:1: Syntax error",
		`[1, 2].map(x, string(x))`: "it gives list(string)",
		`unknown`:                  "1:1: undeclared reference to 'unknown'",
	} {
		err := CheckKey(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// What would take long ends, and is no key.
func TestKeyIsBounded(t *testing.T) {
	t.Parallel()
	k, err := NewKey(`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, a + b + c > 0))) ? source.address : ""`)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := k.Key(nil, asked()); ok {
		t.Errorf("it gives %q", got)
	}
}

func BenchmarkKey(b *testing.B) {
	k, err := NewKey(`request.headers["x-user"]`)
	if err != nil {
		b.Fatal(err)
	}
	x := asked("Host", "shop.example", "User-Agent", "test", "Accept", "*/*", "X-User", "ada")
	var room [64]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := k.Key(room[:0], x); !ok {
			b.Fatal("no key")
		}
	}
}
