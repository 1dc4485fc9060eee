package test

//lint:file-ignore SA1019 net/http's own HTTP/2 does not speak extended CONNECT; this one does.

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
)

// extended asks for a WebSocket by extended CONNECT (RFC 8441): it makes that
// of what a WebSocket client asks of HTTP/1.1, and the answer to that of what
// comes.
type extended struct{ http.RoundTripper }

func (e extended) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	from, to := io.Pipe()
	r = r.Clone(r.Context())
	r.Method, r.Body, r.ContentLength = "CONNECT", from, -1
	for _, name := range []string{"Connection", "Upgrade", "Sec-WebSocket-Key"} {
		r.Header.Del(name)
	}
	r.Header.Set(":protocol", "websocket")
	r.URL.Scheme = strings.Replace(r.URL.Scheme, "ws", "http", 1)
	res, err := e.RoundTripper.RoundTrip(r)
	if err != nil || res.StatusCode != 200 {
		return res, err
	}
	res.StatusCode = http.StatusSwitchingProtocols
	res.Header.Set("Connection", "Upgrade")
	res.Header.Set("Upgrade", "websocket")
	res.Header.Set("Sec-WebSocket-Accept", acceptOf(key))
	res.Body = struct {
		io.Reader
		io.Writer
		io.Closer
	}{res.Body, to, closers{to, res.Body}}
	return res, nil
}

type closers []io.Closer

func (c closers) Close() error {
	for _, one := range c {
		_ = one.Close() // both ends of a tunnel
	}
	return nil
}

// socketClient is a client for WebSockets over a dialect.
func socketClient(t testing.TB, dialect string) *http.Client {
	if dialect == h1 {
		return clientOf(t, h1)
	}
	// net/http knows no extended CONNECT.
	transport := &http2.Transport{
		AllowHTTP: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialTLSContext: func(_ context.Context, network, addr string, cfg *tls.Config) (net.Conn, error) {
			if dialect == h2c {
				return net.Dial(network, addr)
			}
			return tls.Dial(network, addr, cfg)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: extended{transport}}
}

// echoSocket is a WebSocket server.
func echoSocket(served chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, OriginPatterns: []string{"*"}})
		if err != nil {
			served <- err
			return
		}
		conn.SetReadLimit(4 << 20)
		for {
			kind, b, err := conn.Read(context.Background())
			if err == nil {
				err = conn.Write(context.Background(), kind, b)
			}
			if err != nil {
				served <- err
				return
			}
		}
	}
}

// TestWebSocketOverHTTP2: a WebSocket over a stream reaches a service of
// HTTP/1.1, beside other requests of the same connection, for longer than the
// limits of idleness.
func TestWebSocketOverHTTP2(t *testing.T) {
	t.Parallel()
	served := make(chan error, 8)
	socket := echoSocket(served)
	c := cross(t, "{idle: 100ms, body: 100ms, head: 10s}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			socket(w, r)
			return
		}
		io.WriteString(w, "plain")
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, from := range dialects {
		t.Run(from, func(t *testing.T) {
			p := c.pair(t, from, h1)
			client := socketClient(t, from)
			conn, res, err := websocket.Dial(ctx, strings.Replace(p.url, "http", "ws", 1)+"/chat?room=1", &websocket.DialOptions{Subprotocols: []string{"echo"}, HTTPClient: client})
			if err != nil {
				t.Fatal(err)
			}
			if res.Header.Get("Sec-WebSocket-Protocol") != "echo" {
				t.Errorf("the subprotocol is lost: %v", res.Header)
			}
			conn.SetReadLimit(4 << 20)
			echo := func(size int) {
				t.Helper()
				want := pattern(size)
				if err := conn.Write(ctx, websocket.MessageBinary, want); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes became %d: %v", size, len(got), err)
				}
			}
			for _, size := range []int{0, 1, 126, 70_000, 3 << 20} {
				echo(size)
			}
			// Longer than every limit that could be taken for it.
			quiet := c.metrics().value("naru_refused_total")
			silent := time.NewTimer(400 * time.Millisecond)
			<-silent.C
			echo(5)
			if now := c.metrics().value("naru_refused_total"); now != quiet {
				t.Errorf("a quiet socket was refused: %v", c.metrics().refusals())
			}
			if from != h1 {
				inner := client.Transport.(extended).RoundTripper
				r, _ := http.NewRequest("GET", p.url+"/plain", nil)
				res, err := inner.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				if body := whole(t, res); body != "plain" {
					t.Errorf("beside the socket %q", body)
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Error("close:", err)
			}
			var closed websocket.CloseError
			if err := receive(t, served); !errors.As(err, &closed) || closed.Code != websocket.StatusNormalClosure || closed.Reason != "bye" {
				t.Error("the service heard:", err)
			}
		})
	}
}

// TestWebSocketRefused: an answer that is no tunnel comes as what it is.
func TestWebSocketRefused(t *testing.T) {
	t.Parallel()
	g := before(t, serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "not you", http.StatusForbidden) }))
	f := g.framed()
	connect := g.fill("$LISTEN")
	f.must(f.heads(1, false, f.fields(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", connect, "sec-websocket-version", "13")))
	if r := f.reply(1); r.status != "403" || string(r.body) != "not you\n" {
		t.Errorf("got %s %q", r.status, r.body)
	}
	// CONNECT without a protocol asks for a proxy, which this is not.
	f.must(f.heads(3, false, f.fields(":method", "CONNECT", ":authority", connect)))
	if r := f.reply(3); r.reset == nil && r.status < "400" {
		t.Errorf("CONNECT: %+v", r)
	}
	f.request(5, true, "GET", "/")
	if r := f.reply(5); r.status != "403" {
		t.Errorf("afterwards %s", r.status)
	}
}

// TestTunnelEndsBothWays: each end's going away is seen at the other, in its
// own language.
func TestTunnelEndsBothWays(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 1)
	up := script(t, func(_ int, c *client) {
		r, _ := c.request()
		if r == nil {
			return
		}
		c.reply("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: " + acceptOf(r.Header.Get("Sec-WebSocket-Key")) + "\n\nhello")
		if r.URL.Path == "/leave" {
			return
		}
		rest, _ := io.ReadAll(c.in)
		ended <- string(rest)
	})
	f := before(t, up).framed()
	open := func(id uint32, path string) {
		f.must(f.heads(id, false, f.fields(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", path, ":authority", "a", "sec-websocket-version", "13")))
		var got []byte
		f.await("what the tunnel begins with", func(fr http2.Frame) bool {
			switch fr := fr.(type) {
			case *http2.MetaHeadersFrame:
				if fr.PseudoValue("status") != "200" {
					t.Fatalf("status %s", fr.PseudoValue("status"))
				}
			case *http2.DataFrame:
				got = append(got, fr.Data()...)
			case *http2.RSTStreamFrame:
				t.Fatalf("reset with %v after %q", fr.ErrCode, got)
			}
			return string(got) == "hello"
		})
	}
	open(1, "/half")
	f.must(f.WriteData(1, true, []byte("all")))
	if got := receive(t, ended); got != "all" {
		t.Errorf("the service has %q", got)
	}
	f.await("the end of the tunnel", func(fr http2.Frame) bool {
		d, ok := fr.(*http2.DataFrame)
		return ok && d.StreamID == 1 && d.StreamEnded()
	})
	open(3, "/reset")
	f.must(f.WriteRSTStream(3, http2.ErrCodeCancel))
	if got := receive(t, ended); got != "" {
		t.Errorf("the service has %q", got)
	}
	f.must(f.heads(5, false, f.fields(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/leave", ":authority", "a", "sec-websocket-version", "13")))
	f.await("the end that the service makes", func(fr http2.Frame) bool {
		d, ok := fr.(*http2.DataFrame)
		return ok && d.StreamID == 5 && d.StreamEnded()
	})
}

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestEvents: server-sent events come one by one through every pair, are not
// cut by any limit of idleness, and end as whole responses when the gateway
// stops.
func TestEvents(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	next := map[string]chan struct{}{}
	gate := func(path string) chan struct{} {
		mu.Lock()
		defer mu.Unlock()
		if next[path] == nil {
			next[path] = make(chan struct{})
		}
		return next[path]
	}
	gone := make(chan string, 9)
	c := cross(t, "{idle: 100ms, body: 100ms, write: 100ms}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			select {
			case <-gate(r.URL.Path):
			case <-r.Context().Done():
				gone <- r.URL.Path
				return
			}
		}
	}, "--drain", "300ms")
	var reading sync.WaitGroup
	var ready sync.WaitGroup
	silent := make(chan struct{})
	for _, from := range dialects {
		for _, to := range dialects {
			p := c.pair(t, from, to)
			ready.Add(1)
			reading.Go(func() {
				res, err := p.try(t, "GET", "/"+from, nil, 0)
				if err != nil {
					t.Error(err)
					ready.Done()
					return
				}
				defer res.Body.Close()
				read := func(i int) {
					want := fmt.Sprintf("data: %d\n\n", i)
					got := make([]byte, len(want))
					if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
						t.Errorf("%s to %s: got %q, %v", from, to, got, err)
					}
				}
				path := "/" + to + "/" + from
				for i := range 5 {
					read(i)
					gate(path) <- struct{}{}
				}
				read(5)
				ready.Done()
				<-silent
				gate(path) <- struct{}{}
				read(6)
				ready.Done()
				if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
					t.Errorf("%s to %s: at the end %q, %v", from, to, rest, err)
				}
			})
		}
	}
	ready.Wait()
	ready.Add(9)
	quiet := time.NewTimer(400 * time.Millisecond) // four times each limit
	<-quiet.C
	close(silent)
	ready.Wait()
	c.stop(t)
	reading.Wait()
	for range 9 {
		receive(t, gone)
	}
	said(t, c.errs, "drain time is over")
}
