package transcode

import (
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// FuzzTranscode: whatever a client or a service sends, there is an answer or a
// message, and both ways end.
func FuzzTranscode(f *testing.F) {
	noun := model.Transcode{Services: []string{"shelf.v1.Shelves"}, MaxBytes: 1 << 16, Auto: true}
	t := made(f, noun)
	f.Add("GET /v1/shelves/7/books/12?parts=1&author.name=x", "", "\x00\x00\x00\x00\x00")
	f.Add("POST /v1/shelves/7/books?notify=true", `{"title":"t","stock":{"a":1}}`, "\x00\x00\x00\x00\x03\x0a\x01a")
	f.Add("GET /v1/search?mask=a,b&any=%5B1%5D&within=1s", "", "\x00\x00\x00\x00\x03\x0a\x01a\x00\x00\x00\x00\x00")
	f.Add("GET /v2/files/%2f/..:x", "", "")
	f.Fuzz(func(tb *testing.T, line, body, answer string) {
		x := request(line)
		if t.OnRequest(x) == filter.Answer {
			if x.Response.Status < 400 || len(x.Body) == 0 {
				tb.Fatalf("%q: answered %d %q", line, x.Response.Status, x.Body)
			}
			return
		}
		out, steps := through(x, x.Inward[0], &wire.Head{}, body[:len(body)/2], body[len(body)/2:])
		if steps[len(steps)-1] == filter.Failed {
			return
		}
		t.message(tb, x, out)
		x.Response.Status = 200
		x.Response.AddString(wire.KeyContentType, "application/grpc")
		t.OnResponse(x)
		_, steps = through(x, x.Outward[0], trailers("grpc-status", "0"), answer[:len(answer)/2], answer[len(answer)/2:])
		if last := steps[len(steps)-1]; last != filter.Passed && last != filter.Failed {
			tb.Fatalf("%q of %q: steps %v", answer, line, steps)
		}
	})
}
