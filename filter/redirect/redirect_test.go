package redirect

import (
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func made(t *testing.T, m *model.Redirect) filter.Request {
	t.Helper()
	f, err := Family().Build(&model.Filter{Redirect: m})
	if err != nil {
		t.Fatal(err)
	}
	return f.(filter.Request)
}

func ptr(s string) *string { return &s }

// TestLocation has the port rules of HTTPRequestRedirectFilter, one by one.
func TestLocation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		m        model.Redirect
		scheme   string
		port     uint16
		host     string
		target   string
		matched  int
		location string
	}{
		{"hostname", model.Redirect{Hostname: "example.org"}, "http", 80, "example.com", "/a", 0, "http://example.org/a"},
		{"listener's port", model.Redirect{Hostname: "example.org"}, "http", 8080, "example.com:8080", "/a", 0, "http://example.org:8080/a"},
		{"listener's port, not the Host's", model.Redirect{}, "http", 8080, "example.com:9999", "/a", 0, "http://example.com:8080/a"},
		{"https on 443", model.Redirect{Hostname: "example.org"}, "https", 443, "example.com", "/a", 0, "https://example.org/a"},
		{"https on 8443", model.Redirect{Hostname: "example.org"}, "https", 8443, "example.com", "/a", 0, "https://example.org:8443/a"},
		{"http on 443", model.Redirect{Hostname: "example.org"}, "http", 443, "example.com", "/a", 0, "http://example.org:443/a"},
		{"scheme", model.Redirect{Scheme: "https"}, "http", 80, "example.com", "/a", 0, "https://example.com/a"},
		{"scheme, odd listener", model.Redirect{Scheme: "https"}, "http", 8080, "example.com:8080", "/a", 0, "https://example.com/a"},
		{"scheme http from https", model.Redirect{Scheme: "http"}, "https", 8443, "example.com", "/a", 0, "http://example.com/a"},
		{"same scheme", model.Redirect{Scheme: "http"}, "http", 8080, "example.com", "/a", 0, "http://example.com/a"},
		{"scheme and port", model.Redirect{Scheme: "https", Port: 8443}, "http", 80, "example.com", "/a", 0, "https://example.com:8443/a"},
		{"scheme and its port", model.Redirect{Scheme: "https", Port: 443}, "http", 80, "example.com", "/a", 0, "https://example.com/a"},
		{"https on 80", model.Redirect{Scheme: "https", Port: 80}, "http", 80, "example.com", "/a", 0, "https://example.com:80/a"},
		{"port", model.Redirect{Port: 8083}, "http", 80, "example.com", "/a", 0, "http://example.com:8083/a"},
		{"port 80 left out", model.Redirect{Port: 80}, "http", 8080, "example.com", "/a", 0, "http://example.com/a"},
		{"full path", model.Redirect{Path: &model.PathEdit{Full: ptr("/x/{id}")}}, "http", 80, "example.com", "/a?q=1&r", 0, "http://example.com/x/42?q=1&r"},
		{"prefix", model.Redirect{Path: &model.PathEdit{Prefix: ptr("/new")}}, "http", 80, "example.com", "/old/b", 4, "http://example.com/new/b"},
		{"prefix to root", model.Redirect{Path: &model.PathEdit{Prefix: ptr("/")}}, "http", 80, "example.com", "/old", 4, "http://example.com/"},
		{"empty query", model.Redirect{}, "http", 80, "example.com", "/a?", 0, "http://example.com/a?"},
		{"IPv6", model.Redirect{Port: 81}, "http", 80, "[::1]:80", "/a", 0, "http://[::1]:81/a"},
		{"IPv6 without port", model.Redirect{}, "http", 80, "[::1]", "/a", 0, "http://[::1]/a"},
		{"no host", model.Redirect{Scheme: "https"}, "http", 80, "", "/a", 0, "/a"},
		{"asterisk", model.Redirect{}, "http", 80, "example.com", "*", 0, "http://example.com/"},
	} {
		x := &filter.Exchange{Scheme: c.scheme, Port: c.port, Matched: c.matched, Params: []filter.Param{{Name: "id", Value: []byte("42")}}}
		x.Request.Authority = []byte(c.host)
		x.Request.Path = []byte(c.target)
		for i, b := range x.Request.Path {
			if b == '?' {
				x.Request.Path, x.Request.Query, x.Request.HasQuery = x.Request.Path[:i], x.Request.Path[i+1:], true
				break
			}
		}
		c.m.Status = 301
		if v := made(t, &c.m).OnRequest(x); v != filter.Answer || x.Why != observe.Redirected || x.Response.Status != 301 || x.Response.Length != 0 {
			t.Errorf("%s: %d, %v", c.name, v, x.Response.Status)
		}
		if got := string(x.Response.AppendFields(nil)); got != "Location: "+c.location+"\r\n" {
			t.Errorf("%s: %q, want %s", c.name, got, c.location)
		}
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	if f, err := Family().Build(&model.Filter{}); f != nil || err != nil {
		t.Errorf("another family's filter: %v, %v", f, err)
	}
	for _, m := range []model.Redirect{
		{Status: 200}, {Status: 304}, {Status: 302, Scheme: "ftp"}, {Status: 302, Hostname: "a:80"}, {Status: 302, Path: &model.PathEdit{Full: ptr("/a#b")}},
	} {
		if _, err := Family().Build(&model.Filter{Redirect: &m}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
	x := &filter.Exchange{Scheme: "http", Port: 80}
	made(t, &model.Redirect{}).OnRequest(x)
	if x.Response.Status != 302 {
		t.Errorf("status %d where none is configured", x.Response.Status)
	}
}

func TestAllocatesNothing(t *testing.T) {
	f := made(t, &model.Redirect{Scheme: "https", Port: 8443, Path: &model.PathEdit{Prefix: ptr("/new")}})
	x := &filter.Exchange{Scheme: "http", Port: 80, Matched: 4}
	x.Request = wire.Head{Method: []byte("HEAD"), Authority: []byte("example.com"), Path: []byte("/old/b"), Query: []byte("q=1"), HasQuery: true}
	f.OnRequest(x)
	if n := testing.AllocsPerRun(100, func() { f.OnRequest(x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
