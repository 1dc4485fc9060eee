package test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestWebSocket(t *testing.T) {
	t.Parallel()
	served := make(chan error, 8)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			served <- err
			return
		}
		conn.SetReadLimit(2 << 20)
		for {
			kind, b, err := conn.Read(context.Background())
			if err != nil {
				served <- err
				return
			}
			if err := conn.Write(context.Background(), kind, b); err != nil {
				served <- err
				return
			}
		}
	})
	g := before(t, up)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws://"+g.addr+"/chat", &websocket.DialOptions{Subprotocols: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Sec-WebSocket-Protocol") != "echo" {
		t.Errorf("the subprotocol is lost: %v", res.Header)
	}
	conn.SetReadLimit(2 << 20)
	for _, size := range []int{0, 1, 125, 126, 70_000, 1 << 20} {
		want := bytes.Repeat([]byte{'x'}, size)
		if err := conn.Write(ctx, websocket.MessageBinary, want); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes became %d: %v", size, len(got), err)
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error("close:", err)
	}
	var closed websocket.CloseError
	if err := receive(t, served); !errors.As(err, &closed) || closed.Code != websocket.StatusNormalClosure || closed.Reason != "bye" {
		t.Error("the service heard:", err)
	}
	eventually(t, "the tunnel is counted as ended", func() bool {
		m := g.metrics()
		return m.value("naru_requests_total", "code", "1xx") == 1 || m.value("naru_requests_total", "status", "1xx") == 1 || m.value("naru_requests_total") == 1
	})
}

// TestTunnelBytes: what follows 101 passes both ways as it is, also what came
// with the heads, and each end can close its half first.
func TestTunnelBytes(t *testing.T) {
	t.Parallel()
	up := script(t, func(_ int, c *client) {
		r, _ := c.request()
		if r == nil {
			return
		}
		c.reply("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: " + r.Header.Get("Upgrade") + "\n\nhello ")
		b := make([]byte, 64)
		for {
			n, err := c.in.Read(b)
			if err != nil {
				c.reply("bye")
				return
			}
			c.Write(b[:n])
		}
	})
	c := before(t, up).dial()
	c.send("GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: chat\n\n")
	c.bytes("\x00\xffGET / HTTP/1.1\n\n")
	h := c.head()
	if !strings.HasPrefix(h, "HTTP/1.1 101 ") || !strings.Contains(h, "Upgrade: chat") {
		t.Fatal(h)
	}
	want := "hello \x00\xffGET / HTTP/1.1\n\n"
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		k, err := c.in.Read(got[n:])
		if err != nil {
			t.Fatalf("after %q: %v", got[:n], err)
		}
		n += k
	}
	if string(got) != want {
		t.Errorf("got %q", got)
	}
	c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	rest := new(strings.Builder)
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			break
		}
		rest.WriteByte(b)
	}
	if rest.String() != "bye" {
		t.Errorf("after the half-close: %q", rest)
	}
}
