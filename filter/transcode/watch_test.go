package transcode

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
)

func TestLook(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.pb")
	good, err := os.ReadFile(shelf)
	if err != nil {
		t.Fatal(err)
	}
	// replace puts a new file in place, as deployments do.
	replace := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	replace(good)
	d := &Descriptors{}
	made, err := d.Family().Build(&model.Filter{Transcode: &model.Transcode{Descriptors: file}})
	if err != nil {
		t.Fatal(err)
	}
	f := made.(*transcoder)
	var told []string
	look := func() {
		d.Look(func(name string, err error) {
			if name != file {
				t.Errorf("told of %s", name)
			}
			if err == nil {
				told = append(told, "read")
				return
			}
			told = append(told, err.Error())
		})
	}
	look()
	first := f.mapping.Load()
	replace([]byte("nonsense"))
	look()
	look()
	if len(told) != 1 || !strings.Contains(told[0], "not a descriptor set") || f.mapping.Load() != first {
		t.Errorf("told %q", told)
	}
	if p := d.Problems(); len(p) != 1 || !strings.Contains(p[0].Message, file) {
		t.Errorf("problems %v", p)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look()
	if len(told) != 2 || !strings.Contains(told[1], "cannot be read") {
		t.Errorf("told %q", told)
	}
	replace(good)
	look()
	if len(told) != 3 || told[2] != "read" || f.mapping.Load() == first || len(d.Problems()) != 0 {
		t.Errorf("told %q, problems %v", told, d.Problems())
	}
	x := request("GET /v1/shelves/7/books/12")
	if f.OnRequest(x) != filter.Continue {
		t.Errorf("answered %d", x.Response.Status)
	}
	runtime.KeepAlive(f)
}
