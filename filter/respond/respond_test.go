package respond

import (
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

func TestRespond(t *testing.T) {
	t.Parallel()
	json := []model.Field{{Name: "content-type", Value: "application/json"}, {Name: "X-A", Value: "1"}}
	for _, c := range []struct {
		m      model.Respond
		method string
		body   string
		length int64
		fields string
	}{
		{model.Respond{Status: 200, Body: "hi"}, "GET", "hi", 2, "Content-Type: text/plain; charset=utf-8\r\n"},
		{model.Respond{Status: 503, Body: "{}", Headers: json}, "POST", "{}", 2, "content-type: application/json\r\nX-A: 1\r\n"},
		{model.Respond{Status: 200, Body: "hi"}, "HEAD", "", 0, "Content-Length: 2\r\nContent-Type: text/plain; charset=utf-8\r\n"},
		{model.Respond{Status: 204}, "GET", "", 0, ""},
		{model.Respond{Status: 404}, "GET", "", 0, ""},
	} {
		f, err := Family().Build(&model.Filter{Respond: &c.m})
		if err != nil {
			t.Fatal(err)
		}
		x := &filter.Exchange{}
		x.Request.Method = []byte(c.method)
		if v := f.(filter.Request).OnRequest(x); v != filter.Answer || x.Why != observe.Responded {
			t.Errorf("verdict %d, why %d", v, x.Why)
		}
		h := &x.Response
		if h.Status != c.m.Status || string(x.Body) != c.body || h.Length != c.length || string(h.AppendFields(nil)) != c.fields {
			t.Errorf("%s %+v: %d %q %d %q", c.method, c.m, h.Status, x.Body, h.Length, h.AppendFields(nil))
		}
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	if f, err := Family().Build(&model.Filter{}); f != nil || err != nil {
		t.Errorf("another family's filter: %v, %v", f, err)
	}
	for _, m := range []model.Respond{
		{}, {Status: 101}, {Status: 600}, {Status: 204, Body: "x"}, {Status: 304, Body: "x"},
		{Status: 200, Headers: []model.Field{{Name: "Content-Length", Value: "1"}}},
		{Status: 200, Headers: []model.Field{{Name: "X", Value: "a\r\nb"}}},
		{Status: 200, Headers: []model.Field{{Name: "X Y", Value: "a"}}},
	} {
		if _, err := Family().Build(&model.Filter{Respond: &m}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	f, err := Family().Build(&model.Filter{Respond: &model.Respond{Status: 200, Body: "hi"}})
	if err != nil {
		t.Fatal(err)
	}
	x, r := &filter.Exchange{}, f.(filter.Request)
	r.OnRequest(x)
	if n := testing.AllocsPerRun(100, func() { r.OnRequest(x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
