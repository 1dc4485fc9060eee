package headers

import (
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

func fill(h *wire.Head, lines ...string) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.AddRaw([]byte(name), []byte(value))
	}
}

var everything = model.HeaderEdit{
	Set:    []model.Field{{Name: "my-header", Value: "bar"}, {Name: "X-New", Value: "n"}},
	Add:    []model.Field{{Name: "X-List", Value: "c"}, {Name: "Cookie", Value: "a=b"}},
	Remove: []string{"x-secret", "X-Absent"},
}

const edited = "X-List: a\r\nX-List: b\r\nmy-header: bar\r\nX-New: n\r\nX-List: c\r\nCookie: a=b\r\n"

func TestEdit(t *testing.T) {
	t.Parallel()
	lines := []string{"X-List: a", "My-Header: foo", "X-Secret: 1", "X-List: b", "MY-HEADER: fool", "x-secret: 2"}
	req, err := RequestFamily().Build(&model.Filter{RequestHeaders: &everything})
	if err != nil {
		t.Fatal(err)
	}
	res, err := ResponseFamily().Build(&model.Filter{ResponseHeaders: &everything})
	if err != nil {
		t.Fatal(err)
	}
	x := &filter.Exchange{}
	fill(&x.Request, lines...)
	fill(&x.Response, lines...)
	if v := req.(filter.Request).OnRequest(x); v != filter.Continue {
		t.Errorf("verdict %d", v)
	}
	if got := string(x.Request.AppendFields(nil)); got != edited {
		t.Errorf("request %q", got)
	}
	res.(filter.Response).OnResponse(x)
	if got := string(x.Response.AppendFields(nil)); got != edited {
		t.Errorf("response %q", got)
	}
}

func TestHostIsTheAuthority(t *testing.T) {
	t.Parallel()
	f, err := RequestFamily().Build(&model.Filter{RequestHeaders: &model.HeaderEdit{Set: []model.Field{{Name: "host", Value: "inner:80"}, {Name: "A", Value: "1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	x := &filter.Exchange{}
	x.Request.Authority = []byte("outer")
	f.(filter.Request).OnRequest(x)
	if string(x.Request.Authority) != "inner:80" || string(x.Request.AppendFields(nil)) != "A: 1\r\n" {
		t.Errorf("%s, %q", x.Request.Authority, x.Request.AppendFields(nil))
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	for _, fam := range []filter.Family{RequestFamily(), ResponseFamily()} {
		if f, err := fam.Build(&model.Filter{}); f != nil || err != nil {
			t.Errorf("another family's filter: %v, %v", f, err)
		}
		for _, c := range []struct {
			m    model.HeaderEdit
			want string
		}{
			{model.HeaderEdit{Set: []model.Field{{Name: "Content-Length", Value: "1"}}}, "set: Content-Length cannot be changed: it frames"},
			{model.HeaderEdit{Add: []model.Field{{Name: "transfer-encoding", Value: "gzip"}}}, "add: transfer-encoding cannot be changed: it frames"},
			{model.HeaderEdit{Remove: []string{"Connection"}}, "remove: Connection cannot be changed: it belongs"},
			{model.HeaderEdit{Remove: []string{"Host"}}, "remove: the Host field can only"},
			{model.HeaderEdit{Add: []model.Field{{Name: "Host", Value: "a"}}}, "add: the Host field can only"},
			{model.HeaderEdit{Set: []model.Field{{Name: "Host", Value: "a b"}}}, "set: "},
			{model.HeaderEdit{Set: []model.Field{{Name: "A", Value: "a\nb"}}}, "set: the value of A"},
			{model.HeaderEdit{Set: []model.Field{{Name: "A B", Value: "a"}}}, "set: \"A B\" is not"},
		} {
			_, err := fam.Build(&model.Filter{RequestHeaders: &c.m, ResponseHeaders: &c.m})
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s %+v: %v", fam.Name, c.m, err)
			}
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	req, err := RequestFamily().Build(&model.Filter{RequestHeaders: &everything})
	if err != nil {
		t.Fatal(err)
	}
	x, f := &filter.Exchange{}, req.(filter.Request)
	name, value := []byte("x-secret"), []byte("1")
	run := func() {
		x.Request.Reset()
		x.Request.AddRaw(name, value)
		f.OnRequest(x)
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
