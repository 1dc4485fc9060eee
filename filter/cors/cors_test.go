package cors

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func made(t *testing.T, m model.CORS) *cors {
	t.Helper()
	f, err := Family().Build(&model.Filter{CORS: &m})
	if err != nil {
		t.Fatal(err)
	}
	return f.(*cors)
}

// request makes an exchange from a method and header lines.
func request(method string, lines ...string) *filter.Exchange {
	x := &filter.Exchange{}
	x.Request.Method = []byte(method)
	fill(&x.Request, lines...)
	return x
}

func fill(h *wire.Head, lines ...string) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.AddRaw([]byte(name), []byte(value))
	}
}

// fields gives the response's lines, Access-Control- shortened to AC-.
func fields(x *filter.Exchange) string {
	s := strings.ReplaceAll(string(x.Response.AppendFields(nil)), "Access-Control-", "AC-")
	return strings.ReplaceAll(strings.TrimSuffix(s, "\r\n"), "\r\n", "\n")
}

var (
	lists = model.CORS{
		Origins:       []string{"https://www.foo.com", "https://*.bar.com"},
		Methods:       []string{"GET", "OPTIONS"},
		Headers:       []string{"x-header-1", "x-header-2"},
		ExposeHeaders: []string{"x-header-3", "x-header-4"},
		Credentials:   true,
		MaxAge:        time.Hour,
	}
	stars     = model.CORS{Origins: []string{"*"}, Methods: []string{"*"}, Headers: []string{"*"}, ExposeHeaders: []string{"*"}}
	starsAuth = model.CORS{Origins: []string{"*"}, Methods: []string{"*"}, Headers: []string{"*"}, ExposeHeaders: []string{"*", "x-a"}, Credentials: true}
	bare      = model.CORS{Origins: []string{"http://a.example"}}
)

const preflightVary = "Vary: Origin, AC-Request-Method, AC-Request-Headers"

func TestPreflight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		m     model.CORS
		lines []string
		want  string
	}{
		{"exact origin", lists, []string{"Origin: https://www.foo.com", "access-control-request-method: GET", "access-control-request-headers: x-header-1, x-header-2"},
			preflightVary + "\nAC-Allow-Origin: https://www.foo.com\nAC-Allow-Credentials: true\nAC-Expose-Headers: x-header-3, x-header-4\nAC-Allow-Methods: GET, OPTIONS\nAC-Allow-Headers: x-header-1, x-header-2\nAC-Max-Age: 3600"},
		{"wildcard origin", lists, []string{"Origin: https://xpto.www.bar.com", "Access-Control-Request-Method: PUT"},
			preflightVary + "\nAC-Allow-Origin: https://xpto.www.bar.com\nAC-Allow-Credentials: true\nAC-Expose-Headers: x-header-3, x-header-4\nAC-Allow-Methods: GET, OPTIONS\nAC-Allow-Headers: x-header-1, x-header-2\nAC-Max-Age: 3600"},
		{"origin that is not allowed", lists, []string{"Origin: https://foobar.com", "Access-Control-Request-Method: GET"}, preflightVary},
		{"stars", stars, []string{"Origin: https://foobar.com:12345", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a, authorization"},
			preflightVary + "\nAC-Allow-Origin: https://foobar.com:12345\nAC-Expose-Headers: *\nAC-Allow-Methods: PUT\nAC-Allow-Headers: x-a, authorization\nAC-Max-Age: 5"},
		{"stars with credentials are never written", starsAuth, []string{"Origin: https://foobar.com", "Access-Control-Request-Method: PUT"},
			preflightVary + "\nAC-Allow-Origin: https://foobar.com\nAC-Allow-Credentials: true\nAC-Expose-Headers: x-a\nAC-Allow-Methods: PUT\nAC-Max-Age: 5"},
		{"a method that is none is not echoed", stars, []string{"Origin: https://foobar.com", "Access-Control-Request-Method: PUT, DELETE"},
			preflightVary + "\nAC-Allow-Origin: https://foobar.com\nAC-Expose-Headers: *\nAC-Max-Age: 5"},
		{"nothing configured", bare, []string{"Origin: http://a.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x"},
			preflightVary + "\nAC-Allow-Origin: http://a.example\nAC-Max-Age: 5"},
	} {
		f := made(t, c.m)
		x := request("OPTIONS", c.lines...)
		if v := f.OnRequest(x); v != filter.Answer || x.Why != observe.Preflight || x.Response.Status != 200 || x.Response.Length != 0 || x.Body != nil {
			t.Errorf("%s: verdict %d, why %d, status %d", c.name, v, x.Why, x.Response.Status)
		}
		f.OnResponse(x) // the answer climbs back through the same filter
		if got := fields(x); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestNoPreflight(t *testing.T) {
	t.Parallel()
	f := made(t, lists)
	for _, x := range []*filter.Exchange{
		request("GET", "Origin: https://www.foo.com", "Access-Control-Request-Method: GET"),
		request("OPTIONS", "Access-Control-Request-Method: GET"),
		request("OPTIONS", "Origin: https://www.foo.com"),
	} {
		if v := f.OnRequest(x); v != filter.Continue {
			t.Errorf("%s %q was answered", x.Request.Method, x.Request.AppendFields(nil))
		}
	}
}

func TestResponse(t *testing.T) {
	t.Parallel()
	service := []string{"Access-Control-Allow-Origin: *", "access-control-allow-credentials: true", "Access-Control-Allow-Methods: X", "Access-Control-Allow-Headers: X", "Access-Control-Expose-Headers: X", "Access-Control-Max-Age: 9", "X-Own: 1"}
	for _, c := range []struct {
		name    string
		m       model.CORS
		origin  string
		service []string
		want    string
	}{
		{"allowed", lists, "https://www.foo.com", nil, "Vary: Origin\nAC-Allow-Origin: https://www.foo.com\nAC-Allow-Credentials: true\nAC-Expose-Headers: x-header-3, x-header-4"},
		{"replaces the service's", lists, "https://www.foo.com", service, "X-Own: 1\nVary: Origin\nAC-Allow-Origin: https://www.foo.com\nAC-Allow-Credentials: true\nAC-Expose-Headers: x-header-3, x-header-4"},
		{"not allowed", lists, "https://foobar.com", service, "X-Own: 1\nVary: Origin"},
		{"no origin", lists, "", service, "X-Own: 1\nVary: Origin"},
		{"without credentials", bare, "http://a.example", nil, "Vary: Origin\nAC-Allow-Origin: http://a.example"},
		{"any origin", stars, "https://foobar.com", nil, "Vary: Origin\nAC-Allow-Origin: https://foobar.com\nAC-Expose-Headers: *"},
		{"Vary there", bare, "", []string{"Vary: Accept, origin"}, "Vary: Accept, origin"},
		{"Vary by everything", bare, "", []string{"Vary: *"}, "Vary: *"},
		{"Vary by something else", bare, "", []string{"Vary: Accept ,X-Origin"}, "Vary: Accept ,X-Origin\nVary: Origin"},
	} {
		f := made(t, c.m)
		x := request("GET")
		if c.origin != "" {
			fill(&x.Request, "Origin: "+c.origin)
		}
		fill(&x.Response, c.service...)
		if v := f.OnRequest(x); v != filter.Continue {
			t.Errorf("%s: verdict %d", c.name, v)
		}
		f.OnResponse(x)
		if got := fields(x); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// A filter further in may take the Origin away from the service.
func TestOriginRemovedOnTheWay(t *testing.T) {
	t.Parallel()
	f := made(t, bare)
	x := request("GET", "Origin: http://a.example")
	f.OnRequest(x)
	x.Request.Remove(wire.KeyOrigin)
	f.OnResponse(x)
	if got := fields(x); !strings.Contains(got, "AC-Allow-Origin: http://a.example") {
		t.Errorf("%s", got)
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	if f, err := Family().Build(&model.Filter{}); f != nil || err != nil {
		t.Errorf("another family's filter: %v, %v", f, err)
	}
	for _, m := range []model.CORS{
		{Origins: []string{"foo.com"}}, {Origins: []string{"ftp://foo.com"}}, {Origins: []string{"https://"}}, {Origins: []string{"https://a/b"}}, {Origins: []string{"https://*.*"}}, {Origins: []string{""}},
		{Methods: []string{"GET, PUT"}}, {Headers: []string{"a b"}}, {ExposeHeaders: []string{""}},
	} {
		if _, err := Family().Build(&model.Filter{CORS: &m}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
	if got := made(t, model.CORS{MaxAge: -time.Second}).maxAge; got != "0" {
		t.Errorf("negative age: %s", got)
	}
}

func TestAllocatesNothing(t *testing.T) {
	f := made(t, stars)
	pre := request("OPTIONS", "Origin: https://a.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: a", "Access-Control-Request-Headers: b")
	get := request("GET", "Origin: https://a.example")
	name, value := []byte("Vary"), []byte("Accept")
	run := func() {
		f.OnRequest(pre)
		f.OnResponse(pre)
		get.Response.Reset()
		get.Response.AddRaw(name, value)
		f.OnRequest(get)
		f.OnResponse(get)
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
