package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestRaw sends the requests of testdata/raw. A file begins with the limits of
// its listener; each part is one connection. In it, lines are joined as they
// are, \r \n \t \\ \0 \xHH stand for bytes and {3*text} for a repetition, and a
// line that begins with "=> " says what happens there:
//
//	=> 200              an answer that leaves the connection open
//	=> 200 close        ... with Connection: close
//	=> 400 bad_field    the problem with this code; the connection ends
//	=> 404 no_route open  ... or goes on
//	=> end              the connection ends
//	=> sees GET /a      the service has seen this request by the end of the part
//	=> METHOD HEAD      what the next answer belongs to, where it is not GET
//	=> cut              the service may see the beginning of the request, cut off
//	=> whole            do not send this part byte by byte as well
//
// Where nothing says "sees", the service must not see anything. Each part is
// sent as a whole and again byte by byte, and after each the counters must
// have grown by exactly what was refused.
func TestRaw(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/raw/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpora", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			up := witness(t)
			limits := ""
			for line := range strings.Lines(string(archive.Comment)) {
				if key, ok := strings.CutPrefix(line, "limits: "); ok {
					limits = "limits: " + key
				}
			}
			g := start(t, "listen: $LISTEN\n"+limits+"routes:\n- match: /\n  to: http://"+up.addr+
				"\n- match: /direct\n  respond: 200 direct\n")
			for _, f := range archive.Files {
				t.Run(f.Name, func(t *testing.T) { rawPart(t, g, up, string(f.Data)) })
			}
		})
	}
}

// rawStep is bytes to send, or an expectation.
type rawStep struct {
	send   string
	expect []string
}

func rawPart(t *testing.T, g *gateway, up *service, text string) {
	var steps []rawStep
	var sees []string
	byBytes, cut := true, false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		want, ok := strings.CutPrefix(line, "=> ")
		switch seen, is := strings.CutPrefix(want, "sees "); {
		case line == "":
		case !ok && len(steps) > 0 && steps[len(steps)-1].expect == nil:
			steps[len(steps)-1].send += unescape(t, line)
		case !ok:
			steps = append(steps, rawStep{send: unescape(t, line)})
		case is:
			sees = append(sees, unescape(t, seen))
		case want == "whole":
			byBytes = false
		case want == "cut":
			cut = true
		default:
			steps = append(steps, rawStep{expect: strings.Fields(want)})
		}
	}
	rawRun(t, g, up, steps, sees, cut, false)
	if byBytes && !t.Failed() {
		rawRun(t, g, up, steps, sees, cut, true)
	}
}

func rawRun(t *testing.T, g *gateway, up *service, steps []rawStep, sees []string, cut, byBytes bool) {
	t.Helper()
	up.log.take()
	before := g.metrics()
	c := dial(t, g.addr)
	c.t = t
	refused := map[string]float64{}
	method, ended := "GET", false
	for _, s := range steps {
		switch {
		case s.expect == nil:
			rawSend(t, c, s.send, byBytes)
		case s.expect[0] == "METHOD":
			method = s.expect[1]
		case s.expect[0] == "end":
			c.closed()
			ended = true
		default:
			status, word := s.expect[0], ""
			if len(s.expect) > 1 {
				word = s.expect[1]
			}
			a, err := c.read(method)
			method = "GET"
			if err != nil {
				t.Fatalf("by bytes %v: instead of %v: %v", byBytes, s.expect, err)
			}
			open := word == "" || len(s.expect) > 2 && s.expect[2] == "open"
			if strconv.Itoa(a.StatusCode) != status || a.Close == open {
				t.Fatalf("by bytes %v: got %d close=%v %q, want %v", byBytes, a.StatusCode, a.Close, a.body, s.expect)
			}
			if word == "" {
				continue
			}
			if word != "close" {
				a.refused(t, a.StatusCode, word)
				refused[word]++
			}
			if !open {
				c.closed()
				ended = true
			}
		}
	}
	if !ended {
		if a := c.get("/direct"); a.body != "direct" {
			t.Errorf("the connection does not go on: %d %q", a.StatusCode, a.body)
		}
		c.Close()
	}
	const sent = "naru_service_requests_total"
	eventually(t, fmt.Sprintf("exactly %v is counted as refused, and %d requests as sent", refused, len(sees)), func() bool {
		after := g.metrics()
		return grown(before.refusals(), after.refusals(), refused) && (cut || after.value(sent)-before.value(sent) == float64(len(sees)))
	})
	eventually(t, fmt.Sprintf("the service sees all of %q", sees), func() bool { return up.log.count() >= len(sees) })
	saw := up.log.take()
	if cut {
		saw = slices.DeleteFunc(saw, func(s string) bool {
			return strings.HasPrefix(s, "incomplete ") || s == "garbage: unexpected EOF"
		})
	}
	if !slices.Equal(saw, sees) {
		t.Errorf("by bytes %v: the service saw %q, want %q", byBytes, saw, sees)
	}
}

// rawSend writes b. The gateway may close in the middle of it.
func rawSend(t *testing.T, c *client, b string, byBytes bool) {
	t.Helper()
	size := len(b)
	if byBytes {
		size = 1
		if len(b) > 3000 { // the middle of a long one is as good as any other
			size = 700
		}
	}
	for len(b) > 0 {
		n := min(size, len(b))
		_, err := io.WriteString(c.Conn, b[:n])
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal(err)
		} else if err != nil {
			return
		}
		b = b[n:]
	}
}

// grown says whether b is a with the increments, and nothing else.
func grown(a, b, inc map[string]float64) bool {
	for reason, n := range b {
		if n != a[reason]+inc[reason] {
			return false
		}
	}
	for reason, n := range inc {
		if b[reason] != a[reason]+n {
			return false
		}
	}
	return true
}

// unescape makes bytes of a line.
func unescape(t testing.TB, s string) string {
	t.Helper()
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '{':
			end := i + strings.IndexByte(s[i:], '}')
			count, what, ok := strings.Cut(s[i+1:max(end, i+1)], "*")
			n, err := strconv.Atoi(count)
			if !ok || err != nil {
				out.WriteByte(c)
				continue
			}
			out.WriteString(strings.Repeat(unescape(t, what), n))
			i = end
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'r':
				out.WriteByte('\r')
			case 'n':
				out.WriteByte('\n')
			case 't':
				out.WriteByte('\t')
			case '0':
				out.WriteByte(0)
			case '\\':
				out.WriteByte('\\')
			case 'x':
				n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteByte(byte(n))
				i += 2
			default:
				t.Fatalf("unknown escape in %q", s)
			}
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
