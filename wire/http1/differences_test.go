package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// TestDifferences runs the inputs of all transcripts through this package and
// through Go's net/http. Where they do not agree, testdata/differences.md must
// say what each does, and why.
func TestDifferences(t *testing.T) {
	t.Parallel()
	listed := readDifferences(t)
	for _, side := range []struct {
		dir          string
		ours, theirs func(in []byte) string
	}{
		{"server", ourServer, theirServer},
		{"client", ourClient, theirClient},
	} {
		files, err := filepath.Glob(filepath.Join("testdata", side.dir, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		for _, file := range files {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range ar.Files {
				name, ok := strings.CutSuffix(part.Name, ": in")
				if !ok {
					continue
				}
				name = strings.TrimSuffix(side.dir+"/"+filepath.Base(file), ".txtar") + ": " + strings.TrimSuffix(name, " (uncut)")
				var in []byte
				for _, s := range readSteps(t, part.Data) {
					in = append(in, s.bytes...)
				}
				ours, theirs := side.ours(in), side.theirs(in)
				row, ok := listed[name]
				delete(listed, name)
				switch {
				case ours == theirs && ok:
					t.Errorf("%s: both say %q; take it off the list", name, ours)
				case ours != theirs && !ok:
					t.Errorf("not listed: | %s | %s | %s | why |", name, ours, theirs)
				case ours != theirs && (row.ours != ours || row.theirs != theirs || row.why == ""):
					t.Errorf("listed wrongly: | %s | %s | %s | %s |", name, ours, theirs, row.why)
				}
			}
		}
	}
	for name := range listed {
		t.Errorf("listed, but there is no such transcript: %s", name)
	}
}

type difference struct{ ours, theirs, why string }

func readDifferences(t *testing.T) map[string]difference {
	t.Helper()
	b, err := os.ReadFile("testdata/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]difference{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 4 || !strings.Contains(cells[0], "/") {
			continue
		}
		all[strings.TrimPrefix(cells[0], "| ")] = difference{cells[1], cells[2], strings.TrimSuffix(cells[3], " |")}
	}
	return all
}

// summary is what a reader made of an input: each request in brief, then the
// status of a refusal.
func summary(method, target, host, body string) string {
	s := method + " " + target + " " + host
	if body != "" {
		s += fmt.Sprintf(" %q", body)
	}
	return s
}

func ourServer(in []byte) string {
	k := &taker{}
	conn := newFakeConn(&fakeLoop{})
	lim := fuzzLimits
	lim.HeadBytes, lim.Fields, lim.URIBytes = 400, 8, 64 // of the transcripts
	New(1).Serve(conn, k, &lim)
	conn.give(in)
	conn.giveEOF()
	var all []string
	for _, g := range k.all {
		w := strings.SplitN(g.start, " ", 4)
		if w[2] == "true" {
			w[1] += "?" + w[3]
		}
		all = append(all, summary(w[0], w[1], g.host, g.body))
	}
	if status := k.refused.Info().Status; status >= 400 && status != 499 {
		all = append(all, fmt.Sprint(status))
	}
	return strings.Join(all, "; ")
}

// theirServer runs an http.Server on one connection that is no socket.
func theirServer(in []byte) string {
	var mu sync.Mutex
	var all []string
	conn := &memoryConn{in: bytes.NewReader(in), closed: make(chan struct{})}
	srv := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, io.ErrUnexpectedEOF):
			case err != nil:
				all = append(all, "400") // as far as it is told
			default:
				target := r.URL.Path
				if strings.HasPrefix(r.RequestURI, "/") {
					target, _, _ = strings.Cut(r.RequestURI, "?")
				} else if target == "" {
					target = "/"
					if r.Method == http.MethodOptions {
						target = "*"
					}
				}
				if r.URL.ForceQuery || r.URL.RawQuery != "" {
					target += "?" + r.URL.RawQuery
				}
				all = append(all, summary(r.Method, target, r.Host, string(body)))
			}
		}),
	}
	ln := &memoryListener{conn: conn}
	go srv.Serve(ln)
	<-conn.closed
	srv.Close()
	mu.Lock()
	defer mu.Unlock()
	r := bufio.NewReader(bytes.NewReader(conn.written()))
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			break
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode >= 400 {
			all = append(all, fmt.Sprint(res.StatusCode))
		}
	}
	return strings.Join(all, "; ")
}

func ourClient(in []byte) string {
	a := ask("GET", in, nil)
	if a.failed != 0 {
		return "refused"
	}
	return fmt.Sprintf("%s %q", a.start, a.body)
}

func theirClient(in []byte) string {
	r := bufio.NewReader(bytes.NewReader(in))
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return "refused"
		}
		if res.StatusCode < 200 && res.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return "refused"
		}
		return fmt.Sprintf("%d %q", res.StatusCode, body)
	}
}

type memoryListener struct {
	conn *memoryConn
	once bool
}

func (l *memoryListener) Accept() (net.Conn, error) {
	if l.once {
		<-l.conn.closed
		return nil, net.ErrClosed
	}
	l.once = true
	return l.conn, nil
}
func (l *memoryListener) Close() error   { return nil }
func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{} }

type memoryConn struct {
	mu     sync.Mutex
	in     *bytes.Reader
	out    bytes.Buffer
	once   sync.Once
	closed chan struct{}
}

func (c *memoryConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.Read(b)
}

func (c *memoryConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(b)
}

func (c *memoryConn) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.out.Bytes())
}

func (c *memoryConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
