package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// accepted is a server's connection in a test, with the client's raw end.
type accepted struct {
	loop  *testLoop
	raw   *rawConn
	rec   *recorder
	net   *netConn
	ready chan wire.Conn
}

type failure struct {
	why observe.Reason
	err error
}

// watchFails makes cfg report its failures to the channel.
func watchFails(cfg *wire.ServerTLS) chan failure {
	ch := make(chan failure, 16)
	cfg.Failed = func(why observe.Reason, remote netip.AddrPort, err error) {
		if remote != testAddr {
			err = errors.New("wrong remote address " + remote.String())
		}
		ch <- failure{why, err}
	}
	return ch
}

func accept(t *testing.T, sv *server, rec *recorder) *accepted {
	t.Helper()
	a := &accepted{loop: newLoop(t), rec: rec, ready: make(chan wire.Conn, 1)}
	a.raw = newRaw(a.loop)
	a.net = newNet(a.raw)
	a.loop.do(func() {
		sv.Secure(a.raw, func(c wire.Conn) {
			rec.conn = c
			c.SetHandler(rec)
			a.ready <- c
		})
	})
	t.Cleanup(func() {
		a.loop.do(func() { a.raw.shut("abort"); a.loop.Post(func() { a.raw.handler.OnClose(errReset) }) })
	})
	return a
}

// echo answers every piece of data with itself.
func echo() *recorder {
	r := newRecorder()
	r.onData = func(b []byte) { r.conn.Write(b, nil) }
	return r
}

func clientConfig() *tls.Config {
	return &tls.Config{RootCAs: testCA().pool, ServerName: "localhost"}
}

func exchange(t *testing.T, c io.ReadWriter, say string) {
	t.Helper()
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(say))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != say {
		t.Fatalf("echo %q, %v; want %q", b, err, say)
	}
}

func TestServerHandshake(t *testing.T) {
	t.Parallel()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, piece := range []int{1, 7, 1 << 20} {
			t.Run(tls.VersionName(v), func(t *testing.T) {
				t.Parallel()
				sv := mustServer(t, &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, Protocols: []string{"http/1.1"}})
				a := accept(t, sv, echo())
				a.loop.do(func() { a.raw.piece = piece })
				cfg := clientConfig()
				cfg.MaxVersion = v
				cfg.ServerName = "LocalHost"
				cfg.NextProtos = []string{"h2", "http/1.1"}
				c := tls.Client(a.net, cfg)
				exchange(t, c, "hello")
				exchange(t, c, strings.Repeat("large ", 100000))
				st := (<-a.ready).Peer().TLS
				if st == nil || st.Version != v || st.Protocol != "http/1.1" || st.ServerName != "localhost" ||
					st.Cipher == 0 || st.Resumed || st.Credential != any("localhost") {
					t.Errorf("state %+v", st)
				}
			})
		}
	}
}

func TestServerHandshakeFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server wire.ServerTLS
		say    func(*netConn) error // the client's part
		client string               // in its error
		want   string               // in ours
	}{
		"old version": {
			wire.ServerTLS{MinVersion: tls.VersionTLS13},
			func(n *netConn) error {
				cfg := clientConfig()
				cfg.MaxVersion = tls.VersionTLS12
				return tls.Client(n, cfg).Handshake()
			}, "protocol version", "unsupported versions",
		},
		"no shared cipher": {
			wire.ServerTLS{},
			func(n *netConn) error {
				cfg := clientConfig()
				cfg.MaxVersion = tls.VersionTLS12
				cfg.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
				return tls.Client(n, cfg).Handshake()
			}, "handshake failure", "no cipher suite",
		},
		"no shared protocol": {
			wire.ServerTLS{Protocols: []string{"http/1.1"}},
			func(n *netConn) error {
				cfg := clientConfig()
				cfg.NextProtos = []string{"spdy/3"}
				return tls.Client(n, cfg).Handshake()
			}, "no application protocol", "unsupported application protocols",
		},
		"plain HTTP": {
			wire.ServerTLS{},
			func(n *netConn) error {
				io.WriteString(n, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				b, err := io.ReadAll(n)
				return errors.Join(errors.New(string(b)), err)
			}, "This port speaks TLS", "plain HTTP request",
		},
		"garbage": {
			wire.ServerTLS{},
			func(n *netConn) error {
				io.WriteString(n, "\x00\x01\x02\x03\x04\x05")
				_, err := io.ReadAll(n)
				return err
			}, "", "does not look like a TLS handshake",
		},
		"gone in the middle": {
			wire.ServerTLS{},
			func(n *netConn) error {
				io.WriteString(n, "\x16\x03\x01")
				return n.Close()
			}, "", "closed the connection during the TLS handshake",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := c.server
			cfg.Credentials = []wire.Credential{localhost()}
			fails := watchFails(&cfg)
			a := accept(t, mustServer(t, &cfg), newRecorder())
			err := c.say(a.net)
			if c.client != "" && (err == nil || !strings.Contains(err.Error(), c.client)) {
				t.Errorf("client's error %v, want %q", err, c.client)
			}
			f := <-fails
			if f.why != observe.HandshakeFailed || !strings.Contains(f.err.Error(), c.want) {
				t.Errorf("failed with %v %v, want %q", f.why, f.err, c.want)
			}
			a.loop.do(func() {
				if a.raw.how != "finish" {
					t.Errorf("raw connection ended by %q, want finish", a.raw.how)
				}
			})
			if len(a.ready) != 0 {
				t.Error("ready was called")
			}
		})
	}
}

func TestServerHandshakeTimeout(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{"silent": "", "stalled": "\x16\x03\x01\x02"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := &wire.ServerTLS{Credentials: []wire.Credential{localhost()}, Handshake: 3 * time.Second}
			fails := watchFails(cfg)
			a := accept(t, mustServer(t, cfg), newRecorder())
			io.WriteString(a.net, say)
			a.loop.advance(2 * time.Second)
			if len(fails) != 0 {
				t.Fatal("failed before its time")
			}
			a.loop.advance(time.Second)
			if f := <-fails; f.why != observe.HandshakeTimeout {
				t.Errorf("failed with %v %v", f.why, f.err)
			}
			if _, err := a.net.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("client reads %v, want EOF", err)
			}
		})
	}
}
