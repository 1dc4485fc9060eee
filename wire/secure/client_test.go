package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// dialled is our client with crypto/tls's server at the other end.
type dialled struct {
	loop *testLoop
	raw  *rawConn
	net  *netConn
	conn wire.Conn
	rec  *recorder
}

// dial starts a connection; its TCP part stands as soon as start is called.
func dial(t *testing.T, sec *Security, cfg *wire.ClientTLS, rec *recorder) *dialled {
	t.Helper()
	d, err := sec.Client(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return dialWith(t, d, newLoop(t), rec)
}

func dialWith(t *testing.T, d wire.Dialer, loop *testLoop, rec *recorder) *dialled {
	x := &dialled{loop: loop, rec: rec}
	x.raw = newRaw(x.loop)
	x.net = newNet(x.raw)
	x.loop.do(func() {
		loop.dial = func(h wire.ConnHandler) *rawConn { x.raw.handler = h; return x.raw }
		x.conn = d.Dial(x.loop, testAddr, rec)
		rec.conn = x.conn
	})
	t.Cleanup(func() { x.loop.do(func() { x.conn.Abort() }) })
	return x
}

func (x *dialled) start() { x.loop.do(func() { x.raw.handler.OnOpen() }) }

// service is a crypto/tls server configuration with the given certificates.
func service(t *testing.T, creds ...wire.Credential) *tls.Config {
	t.Helper()
	cfg := &tls.Config{}
	for _, c := range creds {
		pair, err := tls.X509KeyPair(c.Chain, c.Key)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = append(cfg.Certificates, pair)
	}
	return cfg
}

func trusting() *wire.ClientTLS {
	return &wire.ClientTLS{ServerName: "localhost", CA: testCA().pem}
}

func TestClientHandshake(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		for _, piece := range []int{1, 1 << 20} {
			cfg := trusting()
			cfg.Protocols = []string{"http/1.1"}
			x := dial(t, New(0), cfg, newRecorder())
			x.raw.piece = piece
			x.loop.do(func() {
				x.conn.Write([]byte("written "), []byte("early, "))
				x.conn.Write([]byte("and again"), nil)
				if n := x.conn.Buffered(); n != len("written early, and again") {
					t.Errorf("Buffered %d", n)
				}
			})
			x.start()
			scfg := service(t, localhost())
			scfg.MaxVersion, scfg.NextProtos = v, []string{"h2", "http/1.1"}
			s := tls.Server(x.net, scfg)
			b := make([]byte, len("written early, and again"))
			if _, err := io.ReadFull(s, b); err != nil || string(b) != "written early, and again" {
				t.Fatalf("service read %q, %v", b, err)
			}
			if got := s.ConnectionState().ServerName; got != "localhost" {
				t.Errorf("SNI %q", got)
			}
			x.rec.expect(t, "open")
			io.WriteString(s, "answer")
			s.CloseWrite()
			x.rec.expect(t, "eof")
			x.loop.do(func() {
				if st := x.conn.Peer().TLS; st == nil || st.Version != v || st.Protocol != "http/1.1" {
					t.Errorf("state %+v", st)
				}
				if x.rec.text() != "answer" {
					t.Errorf("got %q", x.rec.text())
				}
			})
		}
	})
}

func TestClientHandshakeFails(t *testing.T) {
	t.Parallel()
	stranger := newAuthority()
	expired := testCA().sign("old", testRSA(), testCA().cert.NotBefore, "localhost")
	for name, c := range map[string]struct {
		cfg     *wire.ClientTLS
		service func(n *netConn) error
		want    string
	}{
		"unknown authority": {
			trusting(),
			func(n *netConn) error {
				return tls.Server(n, service(t, stranger.issue("x", "localhost"))).Handshake()
			}, "certificate signed by unknown authority",
		},
		"wrong name": {
			&wire.ClientTLS{ServerName: "other.example.com", CA: testCA().pem},
			func(n *netConn) error { return tls.Server(n, service(t, localhost())).Handshake() },
			"not other.example.com",
		},
		"address not in certificate": {
			&wire.ClientTLS{CA: testCA().pem},
			func(n *netConn) error { return tls.Server(n, service(t, localhost())).Handshake() },
			"192.0.2.1",
		},
		"expired": {
			trusting(),
			func(n *netConn) error { return tls.Server(n, service(t, expired)).Handshake() },
			"expired",
		},
		"plain service": {
			trusting(),
			func(n *netConn) error { _, err := io.WriteString(n, "HTTP/1.1 400 Bad Request\r\n\r\n"); return err },
			"does not look like a TLS handshake",
		},
		"closes": {
			trusting(),
			func(n *netConn) error { return n.Close() },
			"closed the connection during the TLS handshake",
		},
		"resets": {
			trusting(),
			func(n *netConn) error { n.raw.reset(); return nil },
			errReset.Error(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			errs := make(chan error, 1)
			rec := &closeRecorder{recorder: newRecorder(), errs: errs}
			d, err := New(0).Client(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			x := dialWith(t, d, newLoop(t), rec.recorder)
			x.loop.do(func() { x.conn.SetHandler(rec) })
			x.start()
			c.service(x.net)
			err = <-errs
			var de *wire.DialError
			if !errors.As(err, &de) || !de.TLS || de.Addr != testAddr || !strings.Contains(err.Error(), c.want) {
				t.Errorf("OnClose(%v), want a DialError of TLS with %q", err, c.want)
			}
		})
	}
}

type closeRecorder struct {
	*recorder
	errs chan error
}

func (r *closeRecorder) OnClose(err error) { r.errs <- err }

func TestClientConnectFailurePassesThrough(t *testing.T) {
	t.Parallel()
	x := dial(t, New(0), trusting(), newRecorder())
	want := &wire.DialError{Addr: testAddr, Err: errors.New("connection refused")}
	x.loop.do(func() { x.raw.closed = true; x.raw.handler.OnClose(want) })
	x.rec.expect(t, "close: "+want.Error())
}

func TestClientTrust(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, testCA().pem, 0o600); err != nil {
		t.Fatal(err)
	}
	byAddress := testCA().issue("address", "192.0.2.1")
	for name, c := range map[string]struct {
		cfg  wire.ClientTLS
		cred wire.Credential
	}{
		"file":     {wire.ClientTLS{ServerName: "localhost", CAFile: file}, localhost()},
		"address":  {wire.ClientTLS{CA: testCA().pem}, byAddress},
		"insecure": {wire.ClientTLS{Insecure: true}, newAuthority().issue("any", "elsewhere")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := dial(t, New(0), &c.cfg, newRecorder())
			x.start()
			if err := tls.Server(x.net, service(t, c.cred)).Handshake(); err != nil {
				t.Fatal(err)
			}
			x.rec.expect(t, "open")
		})
	}
}

func TestClientBadCA(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]wire.ClientTLS{
		"CA: no CERTIFICATE block in PEM":                   {CA: []byte("nothing")},
		"CA /nowhere/ca.pem: no such file or directory":     {CAFile: "/nowhere/ca.pem"},
		"CA: no CERTIFICATE block in PEM, only PRIVATE KEY": {CA: localhost().Key},
	} {
		if _, err := New(0).Client(&cfg); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestClientResumes(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, v uint16) {
		d, err := New(0).Client(trusting())
		if err != nil {
			t.Fatal(err)
		}
		scfg := service(t, localhost())
		scfg.MaxVersion = v
		for i, want := range []bool{false, true} {
			rec := newRecorder()
			x := dialWith(t, d, newLoop(t), rec)
			x.start()
			s := tls.Server(x.net, scfg)
			if err := s.Handshake(); err != nil {
				t.Fatal(err)
			}
			io.WriteString(s, "data behind the ticket")
			s.CloseWrite()
			rec.expect(t, "open")
			rec.expect(t, "eof")
			x.loop.do(func() {
				if got := x.conn.Peer().TLS.Resumed; got != want {
					t.Errorf("connection %d: resumed %v, want %v", i, got, want)
				}
			})
		}
	})
}

func TestClientEndsDuringHandshake(t *testing.T) {
	t.Parallel()
	t.Run("close with nothing written", func(t *testing.T) {
		t.Parallel()
		x := dial(t, New(0), trusting(), newRecorder())
		x.start()
		x.loop.do(func() { x.conn.Close() })
		if err := tls.Server(x.net, service(t, localhost())).Handshake(); err == nil {
			t.Error("the service's handshake succeeded")
		}
		x.loop.do(func() {
			if x.raw.how != "close" || len(x.rec.events) != 0 {
				t.Errorf("raw ended by %q, %d events", x.raw.how, len(x.rec.events))
			}
		})
	})
	t.Run("close with something written", func(t *testing.T) {
		t.Parallel()
		x := dial(t, New(0), trusting(), newRecorder())
		x.loop.do(func() { x.conn.Write([]byte("testament"), nil); x.conn.Close(); x.conn.Close() })
		x.start()
		b, err := io.ReadAll(tls.Server(x.net, service(t, localhost())))
		if string(b) != "testament" || err != nil {
			t.Errorf("service read %q, %v", b, err)
		}
		x.loop.do(func() {
			if x.raw.how != "close" || len(x.rec.events) != 0 {
				t.Errorf("raw ended by %q, %d events", x.raw.how, len(x.rec.events))
			}
		})
	})
	t.Run("close with something written to a stalled service", func(t *testing.T) {
		t.Parallel()
		x := dial(t, New(0), trusting(), newRecorder())
		x.loop.do(func() { x.conn.Write([]byte("testament"), nil); x.conn.Finish() })
		x.start()
		x.loop.advance(deferredClose)
		x.loop.do(func() {
			if x.raw.how != "close" || len(x.rec.events) != 0 {
				t.Errorf("raw ended by %q, %d events", x.raw.how, len(x.rec.events))
			}
		})
	})
	t.Run("half close", func(t *testing.T) {
		t.Parallel()
		x := dial(t, New(0), trusting(), newRecorder())
		x.loop.do(func() { x.conn.Write([]byte("question"), nil); x.conn.CloseWrite() })
		x.start()
		s := tls.Server(x.net, service(t, localhost()))
		if b, err := io.ReadAll(s); string(b) != "question" || err != nil {
			t.Errorf("service read %q, %v", b, err)
		}
		io.WriteString(s, "answer")
		s.Close()
		x.rec.expect(t, "open")
		x.rec.expect(t, "eof")
		if x.rec.text() != "answer" {
			t.Errorf("got %q", x.rec.text())
		}
	})
	t.Run("abort", func(t *testing.T) {
		t.Parallel()
		x := dial(t, New(0), trusting(), newRecorder())
		x.start()
		x.loop.do(func() { x.conn.Abort(); x.conn.Abort() })
		if err := tls.Server(x.net, service(t, localhost())).Handshake(); err == nil {
			t.Error("the service's handshake succeeded")
		}
	})
}

func TestClientDrainedAfterEarlyWrites(t *testing.T) {
	t.Parallel()
	x := dial(t, New(0), trusting(), newRecorder())
	x.loop.do(func() { x.conn.Write(make([]byte, wire.HighWater), nil) })
	x.start()
	s := tls.Server(x.net, service(t, localhost()))
	if _, err := io.ReadFull(s, make([]byte, wire.HighWater)); err != nil {
		t.Fatal(err)
	}
	x.rec.expect(t, "open")
	x.rec.expect(t, "drained")
}

func TestClientForgetsEndpoints(t *testing.T) {
	t.Parallel()
	w, err := New(0).Client(trusting())
	if err != nil {
		t.Fatal(err)
	}
	d := w.(*dialer)
	first, _ := d.config(testAddr)
	if again, _ := d.config(testAddr); again != first {
		t.Error("an endpoint's configuration is not kept")
	}
	for port := range 3 * configsMost {
		d.config(netip.AddrPortFrom(testAddr.Addr(), uint16(port)))
	}
	if n := len(d.configs); n > configsMost {
		t.Errorf("%d endpoints remembered", n)
	}
}
