package export

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/naru-mesh/naru/observe"
)

func sample() *observe.Record {
	return &observe.Record{
		Start:    time.Date(2026, 11, 22, 17, 5, 9, 12_345_678, time.FixedZone("", 3600)),
		Duration: 12_345_678 * time.Nanosecond, Upstream: 9 * time.Millisecond, Attempts: 2,
		Method: []byte("GET"), Host: []byte("shop.example.com"), Path: []byte("/orders/1"), Query: []byte("a=b"),
		UserAgent: []byte(`curl/8 "x"`), RequestID: []byte("01HX"), Scheme: "https", Minor: 1,
		Remote: netip.MustParseAddrPort("[::ffff:192.0.2.1]:5555"), Client: netip.MustParseAddr("203.0.113.9"),
		Status: 502, Reason: observe.ConnectRefused, Detail: errors.New("connect: refused"),
		BytesIn: 120, BytesOut: 1234,
		Listener: "public", Route: "shop/orders/0", Service: "orders", Endpoint: netip.MustParseAddrPort("10.0.0.1:9002"),
		Chosen: "balanced", Flags: observe.ConnectRefused.Flags() | observe.FlagURX,
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		text   bool
		record *observe.Record
		want   string
	}{
		{"json", false, sample(), `{"time":"2026-11-22T16:05:09.012Z","client":"203.0.113.9","remote":"[::ffff:192.0.2.1]:5555","method":"GET","scheme":"https",` +
			`"host":"shop.example.com","path":"/orders/1","query":"a=b","protocol":"HTTP/1.1","status":502,"reason":"connect_refused","flags":"URX,UF","detail":"connect: refused",` +
			`"bytes_in":120,"bytes_out":1234,"duration_ms":12.345,"upstream_ms":9.000,"attempts":2,"listener":"public","route":"shop/orders/0","service":"orders",` +
			`"endpoint":"10.0.0.1:9002","chosen":"balanced","user_agent":"curl/8 \"x\"","request_id":"01HX"}`},
		{"text", true, sample(), `203.0.113.9 - - [22/Nov/2026:16:05:09 +0000] "GET /orders/1?a=b HTTP/1.1" 502 1234 12.345ms host=shop.example.com ` +
			`route=shop/orders/0 service=orders endpoint=10.0.0.1:9002 chosen=balanced attempts=2 reason=connect_refused flags=URX,UF detail="connect: refused" id=01HX agent="curl/8 \x22x\x22"`},
		{"gRPC json", false, &observe.Record{GRPC: true, GRPCStatus: observe.GRPCUnavailable, GRPCMethod: []byte("p.S/M"), Status: 200},
			`{"time":"0001-01-01T00:00:00.000Z","protocol":"HTTP/1.0","status":200,"grpc_status":"UNAVAILABLE","grpc_method":"p.S/M","bytes_in":0,"bytes_out":0,"duration_ms":0.000}`},
		{"gRPC text", true, &observe.Record{GRPC: true, GRPCMethod: []byte("p.S/M"), Minor: 2, Status: 200},
			`- - - [01/Jan/0001:00:00:00 +0000] "  HTTP/2" 200 0 0.000ms host=- route=- service=- endpoint=- attempts=0 grpc_status=OK grpc_method=p.S/M reason=- id=- agent=""`},
		{"flow json", false, &observe.Record{Scheme: "tls", Host: []byte("db.example.com"), Flow: "routes/0", Service: "db", Reason: observe.FlowIdle, BytesIn: 1, BytesOut: 2},
			`{"time":"0001-01-01T00:00:00.000Z","scheme":"tls","host":"db.example.com","reason":"flow_idle","bytes_in":1,"bytes_out":2,"duration_ms":0.000,"flow":"routes/0","service":"db"}`},
		{"flow text", true, &observe.Record{Scheme: "tcp", Flow: "routes/0", Service: "db", BytesOut: 2},
			`- - - [01/Jan/0001:00:00:00 +0000] "tcp" - 2 0.000ms host=- flow=routes/0 service=db endpoint=- attempts=0 reason=- id=- agent=""`},
		{"empty json", false, &observe.Record{}, `{"time":"0001-01-01T00:00:00.000Z","protocol":"HTTP/1.0","status":0,"bytes_in":0,"bytes_out":0,"duration_ms":0.000}`},
		{"empty text", true, &observe.Record{Minor: 2, Duration: -1}, `- - - [01/Jan/0001:00:00:00 +0000] "  HTTP/2" 0 0 0.000ms host=- route=- service=- endpoint=- attempts=0 reason=- id=- agent=""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := lines{text: c.text}
			for range 2 { // the second time with the date it remembers
				if got := string(l.line(c.record)); got != c.want+"\n" {
					t.Errorf("line\n%s\nshould be\n%s", got, c.want)
				}
			}
		})
	}
}

func TestDateFollowsTheClock(t *testing.T) {
	t.Parallel()
	l := lines{}
	r := sample()
	for range 3 {
		var got struct{ Time time.Time }
		if err := json.Unmarshal(l.line(r), &got); err != nil {
			t.Fatal(err)
		}
		if want := r.Start.Truncate(time.Millisecond); !got.Time.Equal(want) {
			t.Errorf("time %v, want %v", got.Time, want)
		}
		r.Start = r.Start.Add(700 * time.Millisecond)
	}
}

// hostile are bytes that clients might send to spoil a log.
var hostile = []string{
	"", "plain", "\"", `\`, "\x00\x01\x1f\x7f", "a\nb\r\tc", "\xff\xfe", "ok\xc3", "\xc3\xa9\xe2\x82\xac😀", "\xed\xa0\x80", "\u2028", "😀\xf0\x9f",
	strings.Repeat("x", longest+1), strings.Repeat("é", longest), strings.Repeat("\x00", longest+5), "x" + strings.Repeat("\xff", longest),
	strings.Repeat("a", longest-1) + "😀" + strings.Repeat("b", 10),
}

func TestJSONOfAnyBytes(t *testing.T) {
	t.Parallel()
	for _, s := range hostile {
		checkJSON(t, []byte(s))
	}
	for a := range 256 {
		for b := range 256 {
			checkJSON(t, []byte{byte(a), 'x', byte(b), byte(a), byte(b)})
		}
	}
}

// checkJSON sees that s comes back from JSON as the standard library would
// have it, up to the cut.
func checkJSON(t *testing.T, s []byte) {
	t.Helper()
	b := appendJSON(nil, s)
	var got string
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%q became %q: %v", s, b, err)
	}
	if !utf8.Valid(b) {
		t.Fatalf("%q became %q, which is not UTF-8", s, b)
	}
	want := strings.ToValidUTF8(string(s), "\uFFFD")
	if len(s) <= longest {
		// ToValidUTF8 makes one mark of a run of bad bytes, JSON one of each.
		if strings.ReplaceAll(got, "\uFFFD", "") != strings.ReplaceAll(want, "\uFFFD", "") {
			t.Fatalf("%q came back as %q", s, got)
		}
	} else if !strings.HasSuffix(got, "…") || len(b) > 6*longest+8 {
		t.Fatalf("a long field became %d bytes", len(b))
	}
	if string(b) != string(appendJSON(nil, string(s))) {
		t.Fatalf("%q as a string is another thing", s)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range hostile {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) { checkJSON(t, s) })
}

func TestTextCannotBeForged(t *testing.T) {
	t.Parallel()
	for _, s := range hostile {
		r := sample()
		r.Path, r.Query, r.UserAgent, r.Host, r.RequestID, r.Method = []byte(s), []byte(s), []byte(s), []byte(s), []byte(s), []byte(s)
		l := lines{text: true}
		got := string(l.line(r))
		if strings.Count(got, "\n") != 1 || got[len(got)-1] != '\n' {
			t.Errorf("%q makes more than one line", s)
		}
		if strings.ContainsFunc(got[:len(got)-1], func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q brings a control character in", s)
		}
		if n := strings.Count(got, `"`); n%2 != 0 {
			t.Errorf("%q leaves a quote open", s)
		}
	}
}

func TestLinesDoNotAllocate(t *testing.T) {
	for _, text := range []bool{true, false} {
		l := lines{text: text}
		r := sample()
		r.Detail = nil
		l.line(r)
		if n := testing.AllocsPerRun(100, func() {
			r.Start = r.Start.Add(time.Second)
			l.line(r)
		}); n > 0 {
			t.Errorf("text %v: %v allocations a line", text, n)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	for name, text := range map[string]bool{"text": true, "json": false} {
		b.Run(name, func(b *testing.B) {
			l := lines{text: text}
			r := sample()
			r.Detail = nil
			for b.Loop() {
				l.line(r)
			}
		})
	}
}
