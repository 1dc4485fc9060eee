package test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lines is a service that answers each line with "NAME: LINE", and the end of
// the client's stream with "NAME: bye".
func lines(t testing.TB, name string) *service {
	t.Helper()
	return script(t, func(_ int, c *client) {
		for {
			line, err := c.in.ReadString('\n')
			if err != nil {
				_, _ = io.WriteString(c.Conn, name+": bye\n") // it may be gone
				return
			}
			if _, err := io.WriteString(c.Conn, name+": "+line); err != nil {
				return
			}
		}
	})
}

// says reads a line.
func (c *client) says() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// ends says how the stream ends: "" in order, "reset" where it was reset.
func (c *client) ends() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	switch {
	case len(rest) > 0:
		return fmt.Sprintf("%d bytes more", len(rest))
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case err != nil:
		return err.Error()
	}
	return ""
}

// refused connects to addr and says how that ends: a reset may arrive before
// the connection is told to stand.
func refused(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if errors.Is(err, syscall.ECONNRESET) {
		return "reset"
	}
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn).ends()
}

func (c *client) closeWrite() {
	c.t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	a := lines(t, "a")
	g := start(t, "log: json\nroutes:\n- {name: db, match: tcp://$LISTEN, to: '"+a.addr+"'}\n")
	c := dial(t, g.addr)
	for i := range 3 {
		c.bytes(fmt.Sprintln("line", i))
		if got := c.says(); got != fmt.Sprint("a: line ", i) {
			t.Errorf("answer %q", got)
		}
	}
	g.counted(1, "naru_flow_connections_active", "flow", "db")
	g.counted(21, "naru_flow_received_bytes_total", "flow", "db") // while it lasts
	c.closeWrite()                                                // half of it: the service may answer still
	if got := c.says(); got != "a: bye" {
		t.Errorf("after the end %q", got)
	}
	if how := c.ends(); how != "" {
		t.Errorf("it ends by %s", how)
	}
	line := said(t, g.out, `"scheme":"tcp"`)
	for _, want := range []string{`"flow":"db"`, `"bytes_in":21`, `"bytes_out":37`, `"endpoint":"` + a.addr + `"`, `"service":"tcp://` + a.addr + `"`, `"attempts":1`, `"client":"127.0.0.1"`} {
		if !strings.Contains(line, want) {
			t.Errorf("the log has no %s: %s", want, line)
		}
	}
	if strings.Contains(line, "status") || strings.Contains(line, "method") || strings.Contains(line, "reason") {
		t.Errorf("the log speaks of requests: %s", line)
	}
	eventually(t, "it is over", func() bool { return g.metrics().value("naru_flow_connections_active", "flow", "db") == 0 })
	for family, want := range map[string]float64{"naru_flow_connections_total": 1, "naru_flow_received_bytes_total": 21, "naru_flow_sent_bytes_total": 37} {
		g.counted(want, family, "flow", "db")
	}
	g.counted(1, "naru_service_flow_connections_total", "service", "tcp://"+a.addr)
}

// TestTCPBulk sends much in both directions at once, of which most goes in the
// kernel, and then little.
func TestTCPBulk(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	up := script(t, func(_ int, c *client) { _, _ = io.Copy(c.Conn, c.in) })
	g := start(t, "routes:\n- {match: tcp://$LISTEN, to: '"+up.addr+"'}\n")
	c := dial(t, g.addr)
	sent := sha256.New()
	go func() {
		r := rand.New(rand.NewPCG(3, 4))
		block := make([]byte, 1<<20)
		for left := size; left > 0; {
			n := min(left, 1+r.IntN(len(block)))
			for i := 0; i+8 <= n; i += 512 {
				block[i] = byte(r.Uint32())
			}
			sent.Write(block[:n])
			if _, err := c.Write(block[:n]); err != nil {
				t.Error(err)
				return
			}
			left -= n
		}
		c.closeWrite()
	}()
	got := sha256.New()
	if n, err := io.Copy(got, c.in); n != size || err != nil {
		t.Fatalf("%d bytes came back: %v", n, err)
	}
	if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Error("other bytes came back")
	}
}

// TestTCPBackpressure: a client that does not read stops its service.
func TestTCPBackpressure(t *testing.T) {
	t.Parallel()
	stopped := make(chan int, 1)
	up := script(t, func(_ int, c *client) {
		block, n := make([]byte, 1<<20), 0
		for {
			if err := c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
				return
			}
			k, err := c.Write(block)
			n += k
			if err != nil {
				stopped <- n
				return
			}
		}
	})
	g := start(t, "routes:\n- {match: tcp://$LISTEN, to: '"+up.addr+"'}\n")
	before := g.rss()
	c := dial(t, g.addr)
	c.bytes("go\n")
	n := receive(t, stopped)
	if grown := g.rss() - before; grown > 16<<20 {
		t.Errorf("%d bytes of memory for %d bytes on the way", grown, n)
	}
	if got, err := io.Copy(io.Discard, c.in); err != nil && !errors.Is(err, syscall.ECONNRESET) || err == nil && got != int64(n) {
		t.Errorf("%d of %d bytes arrived: %v", got, n, err)
	}
}

// TestTCPResets passes a reset on, either way.
func TestTCPResets(t *testing.T) {
	t.Parallel()
	gone := make(chan error, 1)
	up := script(t, func(_ int, c *client) {
		if line, _ := c.in.ReadString('\n'); line == "reset\n" {
			_ = c.Conn.(*net.TCPConn).SetLinger(0) // a test that cannot would fail below
			return
		}
		_, err := c.in.ReadByte()
		gone <- err
	})
	g := start(t, "log: json\nroutes:\n- {match: tcp://$LISTEN, to: '"+up.addr+"'}\n")
	c := dial(t, g.addr)
	c.bytes("reset\n")
	if how := c.ends(); how != "reset" {
		t.Errorf("a reset arrives as %q", how)
	}
	said(t, g.out, `"reason":"upstream_reset"`)
	c = dial(t, g.addr)
	c.bytes("wait\n")
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the line arrived", func() bool { return g.metrics().value("naru_flow_received_bytes_total") >= 11 })
	c.Close()
	if err := receive(t, gone); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the service is told %v", err)
	}
	said(t, g.out, `"reason":"client_gone"`)
}

// TestTCPTriesAnother: an endpoint where nobody listens costs nothing but time,
// and without any the client is reset.
func TestTCPTriesAnother(t *testing.T) {
	t.Parallel()
	good, bad, worse := lines(t, "good"), listen(t, ""), listen(t, "")
	bad.kill()
	worse.kill()
	g := start(t, `log: json
routes:
- {name: some, match: 'tcp://$LISTEN', to: some}
- {name: none, match: 'tcp://$LISTEN2', to: none}
- {name: nothing, match: 'tcp://$LISTEN3', to: {some: 0, none: 0, "`+good.addr+`": 0, more: 1}}
services:
  some: ["`+bad.addr+`", "`+good.addr+`", "`+worse.addr+`"]
  none: ["`+bad.addr+`", "`+worse.addr+`"]
  more: {endpoints: ["`+good.addr+`"], proxyProtocol: v1}
`)
	for range 6 {
		c := dial(t, g.ports["$LISTEN"])
		c.bytes("hello\n")
		if got := c.says(); got != "good: hello" {
			t.Errorf("answer %q", got)
		}
	}
	if how := refused(t, g.ports["$LISTEN2"]); how != "reset" {
		t.Errorf("without a service it ends by %q", how)
	}
	if line := said(t, g.out, `"flow":"none"`); !strings.Contains(line, `"reason":"connect_refused"`) || !strings.Contains(line, `"attempts":2`) {
		t.Error(line)
	}
	g.counted(1, "naru_refused_total", "reason", "connect_refused")
	c := dial(t, g.ports["$LISTEN3"])
	if got := c.says(); !strings.HasPrefix(got, "good: PROXY TCP4 127.0.0.1 127.0.0.1 ") {
		t.Errorf("the service hears %q first", got)
	}
}

func TestTCPIdle(t *testing.T) {
	t.Parallel()
	a := lines(t, "a")
	g := start(t, "log: json\nroutes:\n- {match: tcp://$LISTEN, to: '"+a.addr+"', timeout: {idle: 1s}}\n")
	c := dial(t, g.addr)
	c.bytes("x\n")
	c.says()
	if how := c.ends(); how != "reset" {
		t.Errorf("an idle connection ends by %q", how)
	}
	said(t, g.out, `"reason":"flow_idle"`)
}

// TestTCPStops: what is under way when naru stops goes on, for the drain time.
func TestTCPStops(t *testing.T) {
	t.Parallel()
	a := lines(t, "a")
	config := "log: json\nroutes:\n- {match: tcp://$LISTEN, to: '" + a.addr + "'}\n"
	g := start(t, config, "--drain", "10m")
	c := dial(t, g.addr)
	c.bytes("x\n")
	c.says()
	g.signal(syscall.SIGTERM)
	said(t, g.errs, "stopping")
	eventually(t, "nobody new is let in", func() bool {
		other, err := net.Dial("tcp", g.addr)
		if err == nil {
			other.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	c.bytes("y\n")
	if got := c.says(); got != "a: y" {
		t.Errorf("while it drains %q", got)
	}
	c.closeWrite()
	c.says()
	if status := g.ended(); status != 0 {
		t.Errorf("status %d", status)
	}
	g = start(t, config, "--drain", "100ms")
	c = dial(t, g.addr)
	c.bytes("x\n")
	c.says()
	g.signal(syscall.SIGTERM)
	if how := c.ends(); how != "reset" {
		t.Errorf("at the end of the drain time it ends by %q", how)
	}
	g.ended()
}

// TestTCPReload: what a change leaves alone goes on, what it takes away has the
// drain time.
func TestTCPReload(t *testing.T) {
	t.Parallel()
	a, b := lines(t, "a"), lines(t, "b")
	config := func(first, second string) string {
		s := "log: json\nroutes:\n- {match: tcp://$LISTEN, to: db}\n"
		if second != "" {
			s += "- {match: tcp://$LISTEN2, to: '" + second + "'}\n"
		}
		return s + "services: {db: ['" + first + "']}\n"
	}
	g := start(t, config(a.addr, b.addr), "--drain", "300ms")
	stays, goes := dial(t, g.ports["$LISTEN"]), dial(t, g.ports["$LISTEN2"])
	for _, c := range []*client{stays, goes} {
		c.bytes("x\n")
		c.says()
	}
	g.reload(config(a.addr, ""))
	if how := goes.ends(); how != "reset" {
		t.Errorf("behind a listener that is gone it ends by %q", how)
	}
	said(t, g.out, `"reason":"draining"`)
	stays.bytes("y\n")
	if got := stays.says(); got != "a: y" {
		t.Errorf("the other %q", got)
	}
	g.reload(config(b.addr, ""))
	c := dial(t, g.ports["$LISTEN"])
	c.bytes("z\n")
	if got := c.says(); got != "b: z" {
		t.Errorf("a new one %q", got)
	}
	if how := stays.ends(); how != "reset" {
		t.Errorf("to an endpoint that is gone it ends by %q", how)
	}
}

func TestTCPTooMany(t *testing.T) {
	t.Parallel()
	a := lines(t, "a")
	g := start(t, "listen: {address: 'tcp://$LISTEN', limits: {connections: 2}}\nroutes:\n- {match: tcp://$LISTEN, to: '"+a.addr+"'}\n")
	for range 2 {
		c := dial(t, g.addr)
		c.bytes("x\n")
		c.says()
	}
	if conn, err := net.Dial("tcp", g.addr); err == nil {
		if how := newClient(t, conn).ends(); how != "reset" {
			t.Errorf("one too many ends by %q", how)
		}
	} else if !errors.Is(err, syscall.ECONNRESET) { // it may come as soon
		t.Error(err)
	}
	g.counted(1, "naru_refused_total", "reason", "too_many_connections")
}

// TestConflictsOfProtocols: two protocols on one port are told, and the first
// serves.
func TestConflictsOfProtocols(t *testing.T) {
	t.Parallel()
	a := lines(t, "a")
	g := start(t, "listen: ['$LISTEN', 'tcp://$LISTEN']\nroutes:\n- {match: /, respond: 200 hello}\n- {match: tcp://$LISTEN, to: '"+a.addr+"'}\n")
	_, text := g.page("/problems")
	if !strings.Contains(text, "ProtocolConflict") || !strings.Contains(text, "port-conflict") {
		t.Errorf("problems %s", text)
	}
	c := g.dial()
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	if got := c.answer("GET"); got.StatusCode != 200 {
		t.Errorf("status %d", got.StatusCode)
	}
}
