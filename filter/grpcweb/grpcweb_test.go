package grpcweb

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

func made(t testing.TB) interface {
	filter.Request
	filter.Response
} {
	t.Helper()
	f, err := build(&model.Filter{GRPCWeb: &model.GRPCWeb{}})
	if err != nil {
		t.Fatal(err)
	}
	return f.(grpcWeb)
}

func request(typ string, fields ...string) *filter.Exchange {
	x := &filter.Exchange{}
	x.Request.Method, x.Request.Path, x.Request.Length = []byte("POST"), []byte("/p.S/M"), 5
	x.Request.AddString(wire.KeyContentType, typ)
	for i := 0; i < len(fields); i += 2 {
		x.Request.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	x.RPC = x.Request.RPC()
	return x
}

func respond(x *filter.Exchange, status int, fields ...string) {
	x.Response.Reset()
	x.Response.Status, x.Response.Length = status, 100
	for i := 0; i < len(fields); i += 2 {
		x.Response.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
}

// through sends pieces through a Body, as the proxy does.
func through(x *filter.Exchange, b filter.Body, trailers *wire.Head, pieces ...string) (out []string, step filter.Step) {
	var rest []byte
	for i, piece := range pieces {
		p := filter.Piece{In: append(rest, piece...)}
		var got []byte
		for {
			p.Out = make([]byte, 0, filter.RoomBytes)
			if i == len(pieces)-1 {
				p.End = trailers
			}
			step = b.Pass(x, &p)
			got = append(got, p.Out...)
			if step != filter.Again {
				break
			}
		}
		if step == filter.Failed {
			return out, step
		}
		out, rest = append(out, string(got)), p.In
	}
	return out, step
}

func TestRequest(t *testing.T) {
	t.Parallel()
	f := made(t)
	for in, want := range map[string]string{
		"application/grpc-web": "application/grpc", "application/grpc-web+proto": "application/grpc+proto",
		"application/grpc-web-text": "application/grpc", "application/grpc-web-text+proto; a=b": "application/grpc+proto; a=b",
		"Application/GRPC-Web+json": "application/grpc+json",
	} {
		x := request(in)
		if v := f.OnRequest(x); v != filter.Continue {
			t.Errorf("%s: verdict %d", in, v)
		}
		if got := string(x.Request.AppendFields(nil)); got != "Content-Type: "+want+"\r\nTE: trailers\r\n" || !x.GRPC {
			t.Errorf("%s: %q, gRPC %t", in, got, x.GRPC)
		}
		text := x.RPC == wire.GRPCWebText
		if text != (len(x.Inward) == 1) || text != (x.Request.Length == -1) {
			t.Errorf("%s: %d bodies, length %d", in, len(x.Inward), x.Request.Length)
		}
	}
	for _, other := range []string{"application/grpc", "text/plain", "application/json"} {
		x := request(other)
		x.Response.Status = 200
		f.OnRequest(x)
		f.OnResponse(x)
		if got := string(x.Request.AppendFields(nil)); got != "Content-Type: "+other+"\r\n" || len(x.Outward) > 0 {
			t.Errorf("%s: %q", other, got)
		}
	}
}

func TestResponseHead(t *testing.T) {
	t.Parallel()
	f := made(t)
	for _, c := range []struct {
		name, asked, accept string
		status              int
		fields              []string
		want                string
		bodies              int
	}{
		{"binary", "application/grpc-web+proto", "*/*", 200, []string{"Content-Type", "application/grpc+proto"}, "Content-Type: application/grpc-web+proto\r\n", 1},
		{"text", "application/grpc-web-text", "", 200, []string{"Content-Type", "application/grpc"}, "Content-Type: application/grpc-web-text\r\n", 1},
		{"text for binary", "application/grpc-web", "application/grpc-web-text", 200, []string{"Content-Type", "application/grpc"}, "Content-Type: application/grpc-web-text\r\n", 1},
		{"only a status", "application/grpc-web", "", 200, []string{"Content-Type", "application/grpc", "grpc-status", "5"}, "grpc-status: 5\r\nContent-Type: application/grpc-web\r\n", 0},
		{"not found", "application/grpc-web", "", 404, []string{"Content-Type", "text/html", "X-A", "b"},
			"X-A: b\r\nContent-Type: application/grpc-web+proto\r\ngrpc-status: 12\r\ngrpc-message: the service's answer is not gRPC\r\n", 1},
		{"a page", "application/grpc-web-text", "", 200, []string{"Content-Type", "text/html"},
			"Content-Type: application/grpc-web-text+proto\r\ngrpc-status: 2\r\ngrpc-message: the service's answer is not gRPC\r\n", 1},
	} {
		x := request(c.asked, "Accept", c.accept)
		f.OnRequest(x)
		respond(x, c.status, c.fields...)
		f.OnResponse(x)
		if got := string(x.Response.AppendFields(nil)); got != c.want || x.Response.Status != 200 || len(x.Outward) != c.bodies {
			t.Errorf("%s: %d %q, %d bodies", c.name, x.Response.Status, got, len(x.Outward))
		}
		for _, b := range x.Outward {
			if s, ok := b.(silence); ok {
				if out, _ := through(x, s, &wire.Head{}, "<html>", "</html>"); strings.Join(out, "") != "" {
					t.Errorf("%s: %q", c.name, out)
				}
			}
			b.Close()
		}
	}
	// naru's own answers are right already.
	x := request("application/grpc-web")
	x.Refuse(observe.NoEndpoint)
	before := string(x.Response.AppendFields(nil))
	f.OnResponse(x)
	if got := string(x.Response.AppendFields(nil)); got != before || len(x.Outward) > 0 {
		t.Errorf("%q became %q", before, got)
	}
}

func TestDecoder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
	}{
		{"aGVsbG8=", "hello"}, {"aGVs|bG8=", "hel|lo"}, {"a|G|V|s|b|G|8|=", "|||hel||||lo"},
		{"aA==aGk=aGVs", "hhihel"}, {"aA=|=aGk|=", "|h|hi"}, {"aGVsbG8", "hello"}, {"", ""},
	} {
		x := request("application/grpc-web-text")
		out, step := through(x, decoder{}, &wire.Head{}, strings.Split(c.in, "|")...)
		if got := strings.Join(out, "|"); got != c.want || step != filter.Passed {
			t.Errorf("%q: %q, step %d", c.in, got, step)
		}
	}
	for _, bad := range []string{"a*==", "aGVsb", "====", "aG=s", "aGVs|\r\nbG8="} {
		x := request("application/grpc-web-text")
		if out, step := through(x, decoder{}, &wire.Head{}, strings.Split(bad, "|")...); step != filter.Failed || x.Why != observe.BadMessage {
			t.Errorf("%q: %q, step %d", bad, out, step)
		}
	}
	// Large pieces are given in parts that fit.
	big := bytes.Repeat([]byte("0123456789"), 20_000)
	out, _ := through(request("application/grpc-web-text"), decoder{}, &wire.Head{}, base64.StdEncoding.EncodeToString(big))
	if strings.Join(out, "") != string(big) {
		t.Error("a large piece is not what it was")
	}
}

func TestEncoder(t *testing.T) {
	t.Parallel()
	trailers := func() *wire.Head {
		h := &wire.Head{}
		h.AddString(wire.KeyOf("Grpc-Status"), "0")
		h.AddString(wire.KeyOf("x-more"), "a b")
		return h
	}
	const frame = "\x80\x00\x00\x00\x1dgrpc-status: 0\r\nx-more: a b\r\n"
	for _, c := range []struct {
		name string
		text bool
		in   []string
		want []string
	}{
		{"binary", false, []string{"one", "two", ""}, []string{"one", "two", frame}},
		{"binary at once", false, []string{"one"}, []string{"one" + frame}},
		{"text", true, []string{"one", "four", ""}, []string{"b25l", "Zm91cg==", base64.StdEncoding.EncodeToString([]byte(frame))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := trailers()
			e := encoders.Get().(*encoder).open(c.text)
			defer e.Close()
			out, step := through(nil, e, h, c.in...)
			if step != filter.Passed || strings.Join(out, "|") != strings.Join(c.want, "|") {
				t.Errorf("%q, want %q", out, c.want)
			}
			if left := h.AppendFields(nil); len(left) > 0 {
				t.Errorf("trailers are left: %q", left)
			}
		})
	}
	out, _ := through(nil, new(encoder), &wire.Head{}, "")
	if !strings.Contains(out[0], "grpc-status: 2\r\n") {
		t.Errorf("without trailers: %q", out)
	}
	big := bytes.Repeat([]byte("0123456789"), 20_001)
	out, _ = through(nil, new(encoder).open(true), trailers(), string(big)+"", "")
	all, err := base64.StdEncoding.DecodeString(strings.TrimRight(out[0], "="))
	if err != nil || !bytes.Equal(all, big) {
		t.Errorf("a large piece is not what it was: %v", err)
	}
}

// TestAllocations does not run in parallel, as AllocsPerRun asks.
func TestAllocations(t *testing.T) {
	if raceOn {
		t.Skip("the race detector empties pools")
	}
	f := made(t)
	x := request("application/grpc-web-text+proto", "Accept", "application/grpc-web-text")
	x.Request.Buf = append(make([]byte, 0, 1<<16), x.Request.Buf...)
	trailers, room := &wire.Head{}, make([]byte, 0, filter.RoomBytes)
	in, message := []byte("aGVsbG8="), []byte("hello")
	var p filter.Piece
	run := func() {
		x.Request.Set(wire.KeyContentType, []byte("application/grpc-web-text+proto"))
		f.OnRequest(x)
		p = filter.Piece{In: in, Out: room}
		x.Inward[0].Pass(x, &p)
		x.Response.Reset()
		x.Response.Status = 200
		x.Response.AddString(wire.KeyContentType, "application/grpc")
		f.OnResponse(x)
		p = filter.Piece{In: message, Out: room}
		x.Outward[0].Pass(x, &p)
		trailers.Reset()
		trailers.AddString(wire.KeyGRPCStatus, "0")
		p = filter.Piece{End: trailers, Out: room}
		x.Outward[0].Pass(x, &p)
		x.Outward[0].Close()
		x.Inward, x.Outward = x.Inward[:0], x.Outward[:0]
		x.Request.Reset()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
