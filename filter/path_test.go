package filter

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

func edit(t *testing.T, m *model.PathEdit) *PathEdit {
	t.Helper()
	e, err := CompilePathEdit(m)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The rows up to the blank one are the table of HTTPPathModifier in the
// Gateway API.
func TestPathEditPrefix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path    string
		matched int
		prefix  string
		want    string
	}{
		{"/foo/bar", 4, "/xyz", "/xyz/bar"},
		{"/foo/bar", 4, "/xyz/", "/xyz/bar"},
		{"/foo", 4, "/xyz", "/xyz"},
		{"/foo/", 4, "/xyz", "/xyz/"},
		{"/foo/bar", 4, "", "/bar"},
		{"/foo/", 4, "", "/"},
		{"/foo", 4, "", "/"},
		{"/foo/", 4, "/", "/"},
		{"/foo", 4, "/", "/"},

		{"/foo/bar", 4, "/", "/bar"},
		{"/foo/bar", 4, "xyz", "/xyz/bar"},
		{"/foo/bar", 4, "/x/y", "/x/y/bar"},
		{"/foo/bar", 4, "/caf\u00e9", "/caf%C3%A9/bar"},
		{"/foo", 0, "/xyz", "/xyz/foo"},
		{"/foo", 1, "/xyz", "/xyz/foo"},
		{"/", 0, "", "/"},
		{"/", 0, "/xyz", "/xyz/"},
		{"/foo/bar", 8, "/xyz", "/xyz"},
		{"*", 0, "/xyz", "*"},
	} {
		x := &Exchange{Matched: c.matched}
		x.Request.Path = []byte(c.path)
		e := edit(t, &model.PathEdit{Prefix: &c.prefix})
		if got, _ := e.Append(nil, x); string(got) != c.want {
			t.Errorf("%s, %d matched, to %q: %s, want %s", c.path, c.matched, c.prefix, got, c.want)
		}
	}
}

func TestPathEditFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ full, want string }{
		{"/one", "/one"},
		{"one", "/one"},
		{"", "/"},
		{"/o/{id}", "/o/42"},
		{"/{id}/x/{rest}", "/42/x/a/b"},
		{"/{rest...}", "/a/b"},
		{"/{id}{id}", "/4242"},
		{"/{other}/{id}", "/{other}/42"},
		{"/{id", "/{id"},
		{"/}{id}{", "/}42{"},
		{"/{}", "/{}"},
	} {
		x := &Exchange{Params: []Param{{"id", []byte("42")}, {"rest", []byte("a/b")}}}
		x.Request.Path = []byte("/orders/42/a/b")
		e := edit(t, &model.PathEdit{Full: &c.full})
		if got, _ := e.Append(nil, x); string(got) != c.want {
			t.Errorf("%q: %s, want %s", c.full, got, c.want)
		}
	}
}

func TestPathEditErrors(t *testing.T) {
	t.Parallel()
	a := "/a"
	if _, err := CompilePathEdit(&model.PathEdit{Full: &a, Prefix: &a}); err == nil {
		t.Error("full and prefix together were taken")
	}
	for _, bad := range []string{"/a b", "/a?b", "/a#b", "/a\nb", "/a\\b"} {
		if _, err := CompilePathEdit(&model.PathEdit{Full: &bad}); err == nil {
			t.Errorf("full %q was taken", bad)
		}
		if _, err := CompilePathEdit(&model.PathEdit{Prefix: &bad}); err == nil {
			t.Errorf("prefix %q was taken", bad)
		}
	}
	if e, err := CompilePathEdit(nil); e != nil || err != nil {
		t.Errorf("no edit: %v, %v", e, err)
	}
}
