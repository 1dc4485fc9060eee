package filter

import (
	"testing"

	"github.com/naru-mesh/naru/observe"
)

func TestReply(t *testing.T) {
	t.Parallel()
	body := []byte("hello")
	for _, c := range []struct {
		method string
		status int
		body   string
		length int64
		fields string
	}{
		{"GET", 200, "hello", 5, ""},
		{"HEAD", 200, "", 0, "Content-Length: 5\r\n"},
		{"GET", 204, "", 0, ""},
		{"HEAD", 204, "", 0, ""},
		{"GET", 304, "", 0, ""},
	} {
		x := &Exchange{}
		x.Request.Method = []byte(c.method)
		x.Response.AddRaw([]byte("Old"), []byte("x"))
		if v := x.Reply(observe.Responded, c.status, body); v != Answer {
			t.Errorf("verdict %d", v)
		}
		h := &x.Response
		if h.Status != c.status || string(x.Body) != c.body || h.Length != c.length || string(h.AppendFields(nil)) != c.fields || x.Why != observe.Responded {
			t.Errorf("%s %d: %d %q %d %q", c.method, c.status, h.Status, x.Body, h.Length, h.AppendFields(nil))
		}
	}
}
