package rewrite

import (
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
)

func made(t *testing.T, m *model.Rewrite) filter.Request {
	t.Helper()
	f, err := Family().Build(&model.Filter{Rewrite: m})
	if err != nil {
		t.Fatal(err)
	}
	return f.(filter.Request)
}

func request(path string, matched int) *filter.Exchange {
	x := &filter.Exchange{Matched: matched}
	h := &x.Request
	h.Authority = h.Keep([]byte("shop.example.com"))
	h.Path = h.Keep([]byte(path))
	h.AddRaw([]byte("Accept"), []byte("*/*"))
	return x
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	prefix, full := "/v2/", "/orders/{id}"
	for _, c := range []struct {
		m          model.Rewrite
		host, path string
	}{
		{model.Rewrite{}, "shop.example.com", "/v1/a"},
		{model.Rewrite{Hostname: "inner.local:81"}, "inner.local:81", "/v1/a"},
		{model.Rewrite{Path: &model.PathEdit{Prefix: &prefix}}, "shop.example.com", "/v2/a"},
		{model.Rewrite{Hostname: "inner.local", Path: &model.PathEdit{Full: &full}}, "inner.local", "/orders/42"},
	} {
		x := request("/v1/a", 3)
		x.Params = []filter.Param{{Name: "id", Value: []byte("42")}}
		f := made(t, &c.m)
		for range 2 { // a second time changes nothing more
			if v := f.OnRequest(x); v != filter.Continue {
				t.Errorf("verdict %d", v)
			}
			if string(x.Request.Authority) != c.host || string(x.Request.Path) != c.path {
				t.Errorf("%+v: %s%s", c.m, x.Request.Authority, x.Request.Path)
			}
		}
		if got := string(x.Request.AppendFields(nil)); got != "Accept: */*\r\n" {
			t.Errorf("fields %q", got)
		}
	}
}

// A backend's rewrite goes on from where the rule's ended.
func TestRewriteTwice(t *testing.T) {
	t.Parallel()
	one, two := "/one", "/two/"
	x := request("/v1/a", 3)
	made(t, &model.Rewrite{Path: &model.PathEdit{Prefix: &one}}).OnRequest(x)
	made(t, &model.Rewrite{Path: &model.PathEdit{Prefix: &two}}).OnRequest(x)
	if string(x.Request.Path) != "/two/a" {
		t.Errorf("%s", x.Request.Path)
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	if f, err := Family().Build(&model.Filter{}); f != nil || err != nil {
		t.Errorf("another family's filter: %v, %v", f, err)
	}
	bad := "/a?b"
	for _, m := range []model.Rewrite{{Hostname: "a/b"}, {Path: &model.PathEdit{Full: &bad}}} {
		if _, err := Family().Build(&model.Filter{Rewrite: &m}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	prefix := "/v2"
	f := made(t, &model.Rewrite{Hostname: "inner.local", Path: &model.PathEdit{Prefix: &prefix}})
	x, path := request("/v1/a", 3), []byte("/v1/a")
	if n := testing.AllocsPerRun(100, func() {
		x.Request.Reset()
		x.Request.Path, x.Matched = x.Request.Keep(path), 3
		f.OnRequest(x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
