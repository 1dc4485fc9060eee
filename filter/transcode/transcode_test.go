package transcode

import (
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

const shelf = "testdata/shelf.pb"

func made(t testing.TB, noun model.Transcode) *transcoder {
	t.Helper()
	if noun.Descriptors == "" {
		noun.Descriptors = shelf
	}
	f, err := new(Descriptors).Family().Build(&model.Filter{Transcode: &noun})
	if err != nil {
		t.Fatal(err)
	}
	return f.(*transcoder)
}

// request makes an exchange of "GET /path?query".
func request(line string, fields ...string) *filter.Exchange {
	x := &filter.Exchange{}
	method, target, _ := strings.Cut(line, " ")
	path, query, has := strings.Cut(target, "?")
	h := &x.Request
	h.Method, h.Path, h.Query, h.HasQuery = []byte(method), []byte(path), []byte(query), has
	for i := 0; i < len(fields); i += 2 {
		h.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	x.RPC = h.RPC()
	return x
}

// through sends pieces through a Body, as the proxy does. The last is the end.
func through(x *filter.Exchange, b filter.Body, trailers *wire.Head, pieces ...string) (out string, steps []filter.Step) {
	var rest []byte
	for i, piece := range pieces {
		p := filter.Piece{In: append(append([]byte(nil), rest...), piece...)}
		for {
			p.Out, p.End = make([]byte, 0, filter.RoomBytes), nil
			if i == len(pieces)-1 {
				p.End = trailers
			}
			step := b.Pass(x, &p)
			out += string(p.Out)
			if steps = append(steps, step); step == filter.Failed {
				return out, steps
			}
			if step != filter.Again {
				break
			}
		}
		rest = p.In
	}
	return out, steps
}

// message reads the gRPC message that a request became, as JSON.
func (t *transcoder) message(tb testing.TB, x *filter.Exchange, frame string) string {
	tb.Helper()
	if len(frame) < prefix || frame[0] != 0 || int(binary.BigEndian.Uint32([]byte(frame)[1:])) != len(frame)-prefix {
		tb.Fatalf("%q is no frame", frame)
	}
	m := dynamicpb.NewMessage(x.Inward[0].(*call).rule.method.Input())
	if err := proto.Unmarshal([]byte(frame)[prefix:], m); err != nil {
		tb.Fatal(err)
	}
	text, err := protojson.MarshalOptions{Resolver: t.mapping.Load().resolver}.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return string(compact(text))
}

func TestRequests(t *testing.T) {
	t.Parallel()
	f := made(t, model.Transcode{Services: []string{"shelf.v1.Shelves"}})
	for _, c := range []struct{ line, body, calls, want string }{
		{"GET /v1/shelves/7/books/12", "", "Get", `{"shelf":"7","bookId":"12"}`},
		{"GET /v1/shelves/a%20b/books/c%2Fd", "", "Get", `{"shelf":"a b","bookId":"c/d"}`},
		{"GET /v1/racks/7/books/12", "", "Get", `{"name":"racks/7/books/12"}`},
		{"GET /v2/files/a/b%2Fc/d.txt", "", "Get", `{"name":"files/a/b%2Fc/d.txt"}`},
		{"GET /v1/shelves/7/books/featured", "", "Featured", `{"shelf":"7"}`},
		{"GET /v1/shelves/7/books/1?name=x&author.name=y&author.born=1900&parts=1&parts=2&author.tags=a&author.tags=b", "", "Get",
			`{"shelf":"7","bookId":"1","name":"x","author":{"name":"y","born":1900,"tags":["a","b"]},"parts":[1,2]}`},
		{"POST /v1/shelves/7/books?notify=true", `{"title":"t","pages":"12","genre":"POEM","cover":"AQI=","stock":{"a":1}}`, "Create",
			`{"shelf":"7","book":{"title":"t","pages":"12","genre":"POEM","cover":"AQI=","stock":{"a":1}},"notify":true}`},
		{"POST /v1/shelves/7/books", "", "Create", `{"shelf":"7"}`},
		{"PUT /v1/books/Lem?ignored=1", `{"title":"t","author":{"name":"other","born":1921}}`, "Replace", `{"title":"t","author":{"name":"Lem","born":1921}}`},
		{"POST /v1/shelves/7:archive", "", "Archive", `{"shelf":"7"}`},
		{"PURGE /v1/books/12", "", "Purge", `{"name":"12"}`},
		{"POST /v1/upload/x", "raw \x00 bytes", "Upload", `{"name":"x","content":{"contentType":"text/x","data":"cmF3IAAgYnl0ZXM="}}`},
		{"GET /v1/search?text=a+b%26&limit=3&exact=true&score=1.5&genre=NOVEL&genres=1&genres=POEM&author.name=x&since=2026-01-02T03:04:05Z&within=1.5s&lent=false" +
			"&mask=title,author.name&any=%5B1%5D&key=AQI%3D&big=18446744073709551615&by=t", "", "Search",
			`{"text":"a b&","limit":3,"exact":true,"score":1.5,"genre":"NOVEL","genres":["NOVEL","POEM"],"author":{"name":"x"},"since":"2026-01-02T03:04:05Z","within":"1.500s","lent":false,` +
				`"mask":"title,author.name","any":[1],"key":"AQI=","big":"18446744073709551615","by":"t"}`},
	} {
		x := request(c.line, "Content-Type", "text/x", "Accept", "application/json", "X-A", "b", "Accept-Encoding", "gzip")
		if v := f.OnRequest(x); v != filter.Continue {
			t.Errorf("%s: answered %d %s", c.line, x.Response.Status, x.Body)
			continue
		}
		h := &x.Request
		if string(h.Method) != "POST" || string(h.Path) != "/shelf.v1.Shelves/"+c.calls || h.HasQuery || !x.GRPC {
			t.Errorf("%s: %s %s", c.line, h.Method, h.Path)
		}
		if got := string(h.AppendFields(nil)); got != "X-A: b\r\nContent-Type: application/grpc\r\nTE: trailers\r\n" {
			t.Errorf("%s: fields %q", c.line, got)
		}
		half := len(c.body) / 2
		out, steps := through(x, x.Inward[0], &wire.Head{}, c.body[:half], c.body[half:])
		if steps[0] != filter.Held || steps[len(steps)-1] != filter.Passed {
			t.Errorf("%s: steps %v, %s", c.line, steps, x.Body)
			continue
		}
		if got := f.message(t, x, out); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.line, got, c.want)
		}
	}
	// gRPC itself is not touched.
	x := request("POST /shelf.v1.Shelves/Get", "Content-Type", "application/grpc")
	if v := f.OnRequest(x); v != filter.Continue || len(x.Inward) > 0 {
		t.Error("a gRPC call is translated")
	}
}

func TestRequestMistakes(t *testing.T) {
	t.Parallel()
	f := made(t, model.Transcode{Services: []string{"shelf.v1.Shelves"}, MaxBytes: 100})
	for _, c := range []struct {
		line, body string
		status     int
		why        observe.Reason
		want       string
	}{
		{"GET /v3/nothing", "", 404, observe.NoMethod, `{"code":5,"message":"no method has a rule for this path"}`},
		{"GET /", "", 404, observe.NoMethod, `{"code":5,"message":"no method has a rule for this path"}`},
		{"GET /v1/shelves//books/1", "", 404, observe.NoMethod, `{"code":5,"message":"no method has a rule for this path"}`},
		{"DELETE /v1/shelves/7/books", "", 405, observe.NoMethod, `{"code":12,"message":"this path has no rule for DELETE"}`},
		{"POST /shelf.v1.Shelves/Plain", "", 404, observe.NoMethod, `{"code":5,"message":"no method has a rule for this path"}`},
		{"POST /v1/import", "", 404, observe.NoMethod, `{"code":5,"message":"no method has a rule for this path"}`},
		{"GET /v1/search?nothing=1", "", 400, observe.BadMessage, `{"code":3,"message":"the query parameter nothing fits no field: shelf.v1.SearchRequest has no field nothing"}`},
		{"GET /v1/search?text.a=1", "", 400, observe.BadMessage, `{"code":3,"message":"the query parameter text.a fits no field: shelf.v1.SearchRequest.text holds no fields"}`},
		{"GET /v1/search?limit=x", "", 400, observe.BadMessage, `{"code":3,"message":"shelf.v1.SearchRequest.limit cannot be \"x\""}`},
		{"GET /v1/search?limit=1&limit=2", "", 400, observe.BadMessage, `{"code":3,"message":"shelf.v1.SearchRequest.limit has 2 values"}`},
		{"GET /v1/search?genre=OPERA", "", 400, observe.BadMessage, `{"code":3,"message":"shelf.v1.SearchRequest.genre cannot be \"OPERA\""}`},
		{"GET /v1/search?labels=a", "", 400, observe.BadMessage, `{"code":3,"message":"shelf.v1.SearchRequest.labels is a map, which only a body can hold"}`},
		{"GET /v1/search?a=%zz", "", 400, observe.BadMessage, `{"code":3,"message":"the query is malformed"}`},
		{"GET /v1/shelves/7/books/1?shelf=8", "", 400, observe.BadMessage, `{"code":3,"message":"the query parameter shelf is a part of the path already"}`},
		{"POST /v1/shelves/7/books?book.title=8", "", 400, observe.BadMessage, `{"code":3,"message":"the query parameter book.title is a part of the body"}`},
		{"GET /v1/shelves/%ff/books/1", "", 400, observe.BadMessage, `{"code":3,"message":"shelf.v1.GetRequest.shelf is not UTF-8"}`},
		{"POST /v1/shelves/7/books", `{"title":`, 400, observe.BadMessage, `{"code":3,"message":"the body is not JSON"}`},
		{"POST /v1/shelves/7/books", `{}},{"shelf":"8"`, 400, observe.BadMessage, `{"code":3,"message":"the body is not JSON"}`},
		{"POST /v1/shelves/7/books", `{"titel":"t"}`, 400, observe.BadMessage, `{"code":3,"message":"the body does not fit shelf.v1.CreateRequest: (line 1:10): unknown field \"titel\""}`},
		{"PUT /v1/books/a", `{"title":"` + strings.Repeat("x", 100) + `"}`, 413, observe.BodyTooLarge, `{"code":8,"message":"the message is larger than 100 bytes"}`},
	} {
		x := request(c.line)
		if f.OnRequest(x) == filter.Continue {
			if _, steps := through(x, x.Inward[0], &wire.Head{}, c.body, ""); steps[len(steps)-1] != filter.Failed {
				t.Errorf("%s: steps %v", c.line, steps)
				continue
			}
		}
		if x.Response.Status != c.status || x.Why != c.why || string(x.Body) != c.want+"\n" {
			t.Errorf("%s: %d %v %s, want %d %v %s", c.line, x.Response.Status, x.Why, x.Body, c.status, c.why, c.want)
		}
		if v, _ := x.Response.Get(wire.KeyContentType); string(v) != jsonType {
			t.Errorf("%s: of type %s", c.line, v)
		}
	}
	x := request("DELETE /v1/shelves/7/books")
	f.OnRequest(x)
	if v, _ := x.Response.Get(keyAllow); string(v) != "POST" {
		t.Errorf("Allow: %s", v)
	}
	x = request("POST /v1/shelves/7/books", "Content-Encoding", "gzip")
	if f.OnRequest(x) != filter.Answer || x.Response.Status != 415 {
		t.Errorf("compressed: %d", x.Response.Status)
	}
	x = request("PUT /v1/books/a")
	x.Request.Length = 101
	if f.OnRequest(x) != filter.Answer || x.Response.Status != 413 {
		t.Errorf("too long: %d", x.Response.Status)
	}
}

// reply makes gRPC frames of JSON messages.
func (t *transcoder) reply(tb testing.TB, name string, texts ...string) (out string) {
	tb.Helper()
	for _, text := range texts {
		typ, err := t.mapping.Load().resolver.FindMessageByName(protoreflect.FullName(name))
		if err != nil {
			tb.Fatal(err)
		}
		m := typ.New().Interface()
		if err := (protojson.UnmarshalOptions{Resolver: t.mapping.Load().resolver}).Unmarshal([]byte(text), m); err != nil {
			tb.Fatal(err)
		}
		b, err := frame(m)
		if err != nil {
			tb.Fatal(err)
		}
		out += string(b)
	}
	return out
}

func trailers(fields ...string) *wire.Head {
	h := &wire.Head{}
	for i := 0; i < len(fields); i += 2 {
		h.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	return h
}

func TestResponses(t *testing.T) {
	t.Parallel()
	f := made(t, model.Transcode{Services: []string{"shelf.v1.Shelves"}})
	detail, err := proto.Marshal(&spb.Status{Code: 5, Message: "no é"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, line, accept string
		body               string
		trailers           *wire.Head
		status             int
		typ, want          string
	}{
		{"unary", "GET /v1/shelves/7/books/12", "", f.reply(t, "shelf.v1.Book", `{"title":"<t>","pages":"3","genre":"NOVEL"}`), trailers("grpc-status", "0"),
			200, jsonType, `{"title":"<t>","pages":"3","genre":"NOVEL"}` + "\n"},
		{"empty message", "POST /v1/shelves/7:archive", "", f.reply(t, "google.protobuf.Empty", `{}`), trailers("grpc-status", "0"), 200, jsonType, "{}\n"},
		{"any", "GET /v1/shelves/7/books/12", "", f.reply(t, "shelf.v1.Book", `{"extra":{"@type":"type.googleapis.com/shelf.v1.Author","name":"x"}}`), trailers("grpc-status", "0"),
			200, jsonType, `{"extra":{"@type":"type.googleapis.com/shelf.v1.Author","name":"x"}}` + "\n"},
		{"response body", "GET /v1/titles", "", f.reply(t, "shelf.v1.TitlesResponse", `{"titles":["a","b"]}`), trailers("grpc-status", "0"), 200, jsonType, `["a","b"]` + "\n"},
		{"empty response body", "GET /v1/titles", "", f.reply(t, "shelf.v1.TitlesResponse", `{}`), trailers("grpc-status", "0"), 200, jsonType, "[]\n"},
		{"raw", "POST /v1/upload/x", "", f.reply(t, "google.api.HttpBody", `{"contentType":"image/png","data":"AQI="}`), trailers("grpc-status", "0"), 200, "image/png", "\x01\x02"},
		{"error", "GET /v1/shelves/7/books/12", "", "", trailers("grpc-status", "5", "grpc-message", "no %C3%A9"), 404, jsonType, `{"code":5,"message":"no é"}` + "\n"},
		{"error with details", "GET /v1/shelves/7/books/12", "", "", trailers("grpc-status", "5", "grpc-status-details-bin", base64.StdEncoding.EncodeToString(detail)), 404, jsonType, `{"code":5,"message":"no é"}` + "\n"},
		{"error after the message", "GET /v1/shelves/7/books/12", "", f.reply(t, "shelf.v1.Book", `{}`), trailers("grpc-status", "7"), 403, jsonType, `{"code":7}` + "\n"},
		{"nothing", "GET /v1/shelves/7/books/12", "", "", trailers("grpc-status", "0"), 500, jsonType, `{"code":13,"message":"the service answered without a message"}` + "\n"},
		{"no status", "GET /v1/shelves/7/books/12", "", f.reply(t, "shelf.v1.Book", `{}`), trailers(), 500, jsonType, `{"code":2,"message":"the response has no status"}` + "\n"},
		{"stream", "GET /v1/search", "", f.reply(t, "shelf.v1.Book", `{"title":"a"}`, `{"title":"b"}`), trailers("grpc-status", "0"), 200, jsonType, "[{\"title\":\"a\"},\n{\"title\":\"b\"}]\n"},
		{"stream of nothing", "GET /v1/search", "", "", trailers("grpc-status", "0"), 200, jsonType, "[]\n"},
		{"stream by lines", "GET /v1/search", "application/x-ndjson, */*", f.reply(t, "shelf.v1.Book", `{"title":"a"}`, `{"title":"b"}`), trailers("grpc-status", "0"), 200, "application/x-ndjson", "{\"title\":\"a\"}\n{\"title\":\"b\"}\n"},
		{"stream that fails at once", "GET /v1/search", "application/jsonl", "", trailers("grpc-status", "14", "grpc-message", "down"), 503, jsonType, `{"code":14,"message":"down"}` + "\n"},
		{"stream that fails", "GET /v1/search", "", f.reply(t, "shelf.v1.Book", `{"title":"a"}`), trailers("grpc-status", "14"), 200, jsonType, "[{\"title\":\"a\"},\n{\"error\":{\"code\":14}}]\n"},
		{"lines that fail", "GET /v1/search", "application/jsonl", f.reply(t, "shelf.v1.Book", `{"title":"a"}`), trailers("grpc-status", "14"), 200, "application/x-ndjson", "{\"title\":\"a\"}\n{\"error\":{\"code\":14}}\n"},
		{"raw stream", "GET /v1/download/x", "", f.reply(t, "google.api.HttpBody", `{"contentType":"text/plain","data":"YQ=="}`, `{"data":"Yg=="}`), trailers("grpc-status", "0"), 200, "text/plain", "ab"},
	} {
		for _, pieces := range [][]string{{c.body}, {c.body, ""}, split(c.body)} {
			x := request(c.line, "Accept", c.accept)
			f.OnRequest(x)
			x.Response.Status, x.Response.Length = 200, -1
			x.Response.AddString(wire.KeyContentType, "application/grpc+proto")
			x.Response.AddString(wire.KeyOf("X-Meta"), "yes")
			f.OnResponse(x)
			h := &wire.Head{}
			h.CopyFrom(c.trailers)
			out, steps := through(x, x.Outward[0], h, pieces...)
			typ, _ := x.Response.Get(wire.KeyContentType)
			if out != c.want || x.Response.Status != c.status || string(typ) != c.typ || steps[len(steps)-1] != filter.Passed {
				t.Errorf("%s in %d: %d %s %q, steps %v", c.name, len(pieces), x.Response.Status, typ, out, steps)
			}
			if left := h.AppendFields(nil); len(left) > 0 {
				t.Errorf("%s: trailers %q", c.name, left)
			}
		}
	}
}

// split makes a piece of every byte, and an end.
func split(s string) (all []string) {
	for i := range len(s) {
		all = append(all, s[i:i+1])
	}
	return append(all, "")
}

func TestOtherResponses(t *testing.T) {
	t.Parallel()
	f := made(t, model.Transcode{MaxBytes: 100, Services: []string{"shelf.v1.Shelves"}})
	for _, c := range []struct {
		name   string
		status int
		fields []string
		body   string
		want   int
		out    string
		fails  bool
	}{
		{"only a status", 200, []string{"Content-Type", "application/grpc", "grpc-status", "16", "grpc-message", "who"}, "", 401, `{"code":16,"message":"who"}` + "\n", false},
		{"only OK", 200, []string{"Content-Type", "application/grpc", "grpc-status", "0"}, "", 500, `{"code":13,"message":"the service answered without a message"}` + "\n", false},
		{"a page", 404, []string{"Content-Type", "text/html"}, "<html>", 501, `{"code":12,"message":"the service's answer is not gRPC"}` + "\n", false},
		{"compressed", 200, []string{"Content-Type", "application/grpc"}, "\x01\x00\x00\x00\x00", 200, "", true},
		{"too large", 200, []string{"Content-Type", "application/grpc"}, "\x00\x00\x00\x01\x00", 200, "", true},
		{"cut", 200, []string{"Content-Type", "application/grpc"}, "\x00\x00\x00\x00\x05a", 200, "", true},
		{"cut early", 200, []string{"Content-Type", "application/grpc"}, "\x00\x00", 200, "", true},
		{"two messages", 200, []string{"Content-Type", "application/grpc"}, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 200, "", true},
		{"garbage", 200, []string{"Content-Type", "application/grpc"}, "\x00\x00\x00\x00\x02\xff\xff", 200, "", true},
	} {
		x := request("GET /v1/shelves/7/books/12")
		f.OnRequest(x)
		x.Response.Status = c.status
		for i := 0; i < len(c.fields); i += 2 {
			x.Response.AddString(wire.KeyOf(c.fields[i]), c.fields[i+1])
		}
		f.OnResponse(x)
		out, steps := through(x, x.Outward[0], trailers("grpc-status", "0"), c.body, "")
		if failed := steps[len(steps)-1] == filter.Failed; failed != c.fails || failed && x.Why != observe.UpstreamBadMessage {
			t.Errorf("%s: steps %v, %v", c.name, steps, x.Why)
		} else if !failed && (x.Response.Status != c.want || out != c.out) {
			t.Errorf("%s: %d %q", c.name, x.Response.Status, out)
		}
	}
	// What naru says itself stays.
	x := request("GET /v1/shelves/7/books/12")
	f.OnRequest(x)
	x.Refuse(observe.NoEndpoint)
	if f.OnResponse(x); len(x.Outward) > 0 || x.Response.Status != 503 {
		t.Errorf("naru's own answer became %d", x.Response.Status)
	}
}

func TestAuto(t *testing.T) {
	t.Parallel()
	f := made(t, model.Transcode{Auto: true})
	for line, want := range map[string]string{
		"POST /shelf.v1.Shelves/Plain": "/shelf.v1.Shelves/Plain", "POST /shelf.v1.Bare/Ping": "/shelf.v1.Bare/Ping",
		"GET /v1/shelves/1/books/2": "/shelf.v1.Shelves/Get",
	} {
		x := request(line)
		if f.OnRequest(x) != filter.Continue || string(x.Request.Path) != want {
			t.Errorf("%s: %s", line, x.Request.Path)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.pb")
	if err := os.WriteFile(text, []byte("syntax = \"proto3\";"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		noun model.Transcode
		want string
	}{
		{model.Transcode{Descriptors: filepath.Join(dir, "none.pb")}, "the descriptors cannot be read: open "},
		{model.Transcode{Descriptors: text}, "this is not a descriptor set: write it with protoc"},
		{model.Transcode{Descriptors: shelf, Services: []string{"shelf.v1.Shelf"}}, "there is no service shelf.v1.Shelf; there is shelf.v1.Bare, shelf.v1.Shelves"},
		{model.Transcode{Descriptors: shelf, Services: []string{"shelf.v1.Bare"}}, "no method of service shelf.v1.Bare has a google.api.http rule"},
	} {
		_, err := new(Descriptors).Family().Build(&model.Filter{Transcode: &c.noun})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if f, err := new(Descriptors).Family().Build(&model.Filter{}); f != nil || err != nil {
		t.Errorf("%v, %v", f, err)
	}
}
