package test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/wire"
)

// unfinished is the connection of a client who keeps the last message of its
// handshake to itself.
type unfinished struct {
	net.Conn
	writes int
	finish chan struct{}
}

func (u *unfinished) Write(b []byte) (int, error) {
	if u.writes++; u.writes != 2 {
		return u.Conn.Write(b)
	}
	last := 0 // record of the flight
	for at := 0; at < len(b); at += 5 + int(b[at+3])<<8 + int(b[at+4]) {
		last = at
	}
	n, err := u.Conn.Write(b[:last])
	if err != nil {
		return n, err
	}
	<-u.finish
	more, err := u.Conn.Write(b[last:])
	return n + more, err
}

// TestMeshLateHandshake: a caller whose certificate was accepted, and who ends its
// handshake when it is not any more, does not get in.
func TestMeshLateHandshake(t *testing.T) {
	t.Parallel()
	judged := make(chan string, 1)
	p := newMeshPair(t, telling(t), model.AppHTTP, func(p *meshPair) { p.trust.judged = judged })
	raw, err := net.Dial("tcp", p.relay.addr)
	if err != nil {
		t.Fatal(err)
	}
	late := &unfinished{Conn: raw, finish: make(chan struct{})}
	conn := tls.Client(late, &tls.Config{
		InsecureSkipVerify: true, ServerName: fmt.Sprintf("%d.orders-1.shop.mesh", p.orders.Ports[0].Port), NextProtos: []string{"h2"},
		Certificates: []tls.Certificate{*p.trust.have[storefront]},
	})
	shaken := make(chan error, 1)
	go func() { shaken <- conn.Handshake() }()
	if id := receive(t, judged); id != storefront {
		t.Fatalf("%s was judged", id)
	}
	p.b.proxy.Expel(func(s *wire.TLSState) bool { return s.Identity == storefront })
	close(late.finish)
	if err := receive(t, shaken); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err == nil {
		_, err = conn.Read(make([]byte, 9))
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it is served: %v", err)
		}
	}
}

// TestMeshDeclinedUpgrade: a service that answers as if it had not been asked for
// another protocol has not agreed to it, on whatever way its client is.
func TestMeshDeclinedUpgrade(t *testing.T) {
	t.Parallel()
	p := newMeshPair(t, telling(t), model.AppHTTP, nil)
	status, body := ask(t, p.a.dial(p.to), "GET /a HTTP/1.1\r\nHost: orders\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	if status != 501 {
		t.Errorf("%d %s", status, body)
	}
}

// TestMeshGreetedTunnel: a server of HTTP/2 may send its settings before its client
// says anything. It is no less HTTP for that, and a caller can say no more of who
// it is.
func TestMeshGreetedTunnel(t *testing.T) {
	t.Parallel()
	calls := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		fields, _ := metadata.FromIncomingContext(stream.Context())
		return status.Errorf(codes.Aborted, "%q of %q", fields["x-forwarded-client-cert"], fields["x-custom"])
	}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	greeted := make(chan struct{}, 8)
	go func() { _ = calls.Serve(greeting{ln, greeted}) }()
	t.Cleanup(calls.Stop)
	p := newMeshPair(t, ln.Addr().String(), model.AppDetect, nil)
	conn := p.tunnel(t)
	receive(t, greeted)
	f := frames(t, conn)
	f.request(1, false, "POST", "/shop.Orders/Get", "content-type", "application/grpc", "te", "trailers", "x-forwarded-client-cert", "Hash=66", "x-custom", "a")
	f.must(f.WriteData(1, true, make([]byte, 5)))
	for {
		head, ok := f.await("the answer", func(fr http2.Frame) bool { _, is := fr.(*http2.MetaHeadersFrame); return is }).(*http2.MetaHeadersFrame)
		if !ok || !head.StreamEnded() {
			continue
		}
		for _, h := range head.Fields {
			if h.Name == "grpc-message" && h.Value != `[] of ["a"]` {
				t.Errorf("the service got %s", h.Value)
			}
			if h.Name == "grpc-message" {
				return
			}
		}
		t.Fatalf("the answer has no message: %v", head.Fields)
	}
}

// greeting is a listener that tells when something was written to a connection.
type greeting struct {
	net.Listener
	told chan struct{}
}

func (g greeting) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	return &greeter{Conn: c, told: g.told}, err
}

type greeter struct {
	net.Conn
	told chan struct{}
}

func (g *greeter) Write(b []byte) (int, error) {
	n, err := g.Conn.Write(b)
	select {
	case g.told <- struct{}{}:
	default:
	}
	return n, err
}
