package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// fieldReader is a filter.KeyReader whose expression is the name of a field.
type fieldReader string

func (f fieldReader) Key(b []byte, x *filter.Exchange) ([]byte, bool) {
	v, ok := x.Request.Get(wire.KeyOf(string(f)))
	return append(b, v...), ok
}

// readField compiles one; "wrong" is a mistake.
func readField(text string) (filter.KeyReader, error) {
	if text == "wrong" {
		return nil, errors.New("1:1: wrong")
	}
	return fieldReader(text), nil
}

// served answers the request in hand and gives the endpoint that had it.
func (w *world) served() netip.AddrPort {
	w.t.Helper()
	for _, c := range w.codec.conns {
		if c.x != nil {
			addr := c.addr
			c.respond(200, "ok", true)
			w.run()
			return addr
		}
	}
	w.t.Fatal("no try runs")
	return netip.AddrPort{}
}

// TestKeys: each part of a request can be what its endpoint is chosen by, the
// first that is there.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what  string
		keys  []model.HashKey
		query string
		field func(i int) []string
	}{
		{"a header", []model.HashKey{{Kind: model.HashHeader, Name: "X-User"}}, "", func(i int) []string { return []string{"x-user", fmt.Sprint(i)} }},
		{"a header of two lines", []model.HashKey{{Kind: model.HashHeader, Name: "X-User"}}, "", func(i int) []string { return []string{"X-User", "a", "X-User", fmt.Sprint(i)} }},
		{"a cookie", []model.HashKey{{Kind: model.HashCookie, Name: "s"}}, "", func(i int) []string { return []string{"Cookie", fmt.Sprintf("a=b; s=%d", i)} }},
		{"a query", []model.HashKey{{Kind: model.HashQuery, Name: "id"}}, "x=1&id=%d", nil},
		{"the second of two", []model.HashKey{{Kind: model.HashCookie, Name: "none"}, {Kind: model.HashHeader, Name: "X-User"}}, "", func(i int) []string { return []string{"X-User", fmt.Sprint(i)} }},
		{"an expression", []model.HashKey{{Kind: model.HashCEL, Name: "X-User"}}, "", func(i int) []string { return []string{"x-user", fmt.Sprint(i)} }},
		{"what an expression does not give", []model.HashKey{{Kind: model.HashCEL, Name: "X-None"}, {Kind: model.HashCEL, Name: "X-User"}}, "", func(i int) []string { return []string{"x-user", fmt.Sprint(i)} }},
		{"the first of two", []model.HashKey{{Kind: model.HashQuery, Name: "id"}, {Kind: model.HashSource}}, "id=%d", nil},
	} {
		for _, by := range []model.Balance{model.RingHash, model.Maglev} {
			w := newWorld(t, 1)
			cfg := shop(8)
			cfg.Services[0].Balance, cfg.Services[0].Hash = by, c.keys
			w.apply(cfg)
			n, addrs := 0, map[netip.AddrPort]bool{}
			for i := range 40 {
				var first netip.AddrPort
				for again := range 3 {
					var fields []string
					if c.field != nil {
						fields = c.field(i)
					}
					s := w.open("GET", "/", 0, fields...)
					if c.query != "" {
						s.x.Request.Query, s.x.Request.HasQuery = fmt.Appendf(nil, c.query, i), true
					}
					s.request("", true)
					n++
					switch addr := w.served(); {
					case again == 0:
						first = addr
						addrs[addr] = true
					case addr != first:
						t.Fatalf("%s, %s: a key's requests went to %v and %v", c.what, by, first, addr)
					}
				}
			}
			if len(addrs) < 6 {
				t.Errorf("%s, %s: 40 keys are all with %d of 8 endpoints", c.what, by, len(addrs))
			}
			w.settled(n)
		}
	}
}

// Another key, and the rule goes by it, though its clusters are the same.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := shop(8)
	cfg.Services[0].Balance, cfg.Services[0].Hash = model.Maglev, []model.HashKey{{Kind: model.HashSource}}
	w.apply(cfg)
	addrs := map[netip.AddrPort]bool{}
	for i := range 20 {
		w.get("/", "X-User", fmt.Sprint(i))
		addrs[w.served()] = true
	}
	if len(addrs) != 1 {
		t.Errorf("one client's requests went to %d endpoints", len(addrs))
	}
	cfg = shop(8)
	cfg.Services[0].Balance, cfg.Services[0].Hash = model.Maglev, []model.HashKey{{Kind: model.HashHeader, Name: "x-user"}}
	w.apply(cfg)
	for i := range 20 {
		w.get("/", "X-User", fmt.Sprint(i))
		addrs[w.served()] = true
	}
	if len(addrs) < 5 {
		t.Errorf("20 users' requests went to %d endpoints", len(addrs))
	}
	w.settled(40)
}

// An expression that does not compile is told of, and its requests have no key.
func TestKeyThatDoesNotCompile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := shop(8)
	cfg.Services[0].Balance, cfg.Services[0].Hash = model.Maglev, []model.HashKey{{Kind: model.HashCEL, Name: "wrong"}}
	w.apply(cfg)
	told := false
	for _, p := range w.proxy.Problems() {
		told = told || strings.Contains(p.Message, "the expression wrong, by which it hashes: 1:1: wrong")
	}
	if !told {
		t.Errorf("problems %v", w.proxy.Problems())
	}
	w.get("/")
	w.served()
	w.settled(1)
}
