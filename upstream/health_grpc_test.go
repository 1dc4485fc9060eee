package upstream

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// healthServer speaks HTTP/2 and says what the test wants.
func healthServer(t *testing.T, secure bool, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	if secure {
		s.Config.Protocols.SetHTTP2(true)
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// ask makes one check of s.
func ask(t *testing.T, s *httptest.Server, svc *model.Service) error {
	t.Helper()
	addr := netip.MustParseAddrPort(s.Listener.Addr().String())
	k := newCheck(nil, &Endpoint{host: addr.Addr().String(), addr: addr}, svc)
	k.dialer = lending
	question, err := k.prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k.bounded(t.Context(), question)
}

func TestGRPCHealth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, service string
		status        string // grpc-status
		answer, want  string
	}{
		{"serving", "", "0", "\x00\x00\x00\x00\x02\x08\x01", ""},
		{"serving, and more", "shop.v1.Orders", "0", "\x00\x00\x00\x00\x06\x08\x01\x12\x02ab", ""},
		{"not serving", "a", "0", "\x00\x00\x00\x00\x02\x08\x02", "NOT_SERVING"},
		{"unknown", "a", "0", "\x00\x00\x00\x00\x00", "UNKNOWN"},
		{"of a later version", "a", "0", "\x00\x00\x00\x00\x02\x08\x09", "status 9"},
		{"no such service", "a", "5", "", `the server does not know the service "a"`},
		{"no health", "", "12", "", "the server has no grpc.health.v1.Health"},
		{"ill", "", "14", "", "gRPC status UNAVAILABLE"},
		{"no gRPC", "", "", "hello", errNotHealth.Error()},
		{"cut", "", "0", "\x00\x00\x00\x00\x03\x08\x01", errNotHealth.Error()},
		{"garbage", "", "0", "\x00\x00\x00\x00\x03\xff\xff\xff", errNotHealth.Error()},
		{"compressed", "", "0", "\x01\x00\x00\x00\x02\x08\x01", errNotHealth.Error()},
		{"too long inside", "", "0", "\x00\x00\x00\x00\x02\x12\x7f", errNotHealth.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := healthServer(t, false, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.ProtoMajor != 2 || r.Method != "POST" || r.URL.Path != healthMethod || r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || r.Host != "a.example" {
					t.Errorf("asked %s %s %s of %s: %v", r.Proto, r.Method, r.URL.Path, r.Host, r.Header)
				}
				if want := healthRequest(c.service); string(body) != string(want) {
					t.Errorf("asked %q, want %q", body, want)
				}
				if c.answer == "" {
					w.Header().Set("Grpc-Status", c.status) // trailers only
					return
				}
				if c.status != "" {
					w.Header().Set(http.TrailerPrefix+"Grpc-Status", c.status)
				}
				io.WriteString(w, c.answer)
			})
			err := ask(t, s, &model.Service{Name: "a", Host: "a.example", Health: &model.HealthCheck{Kind: model.HealthGRPC, Service: c.service}})
			if got := message(err); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := string(healthRequest("ab")); got != "\x00\x00\x00\x00\x04\x0a\x02ab" {
		t.Errorf("request %q", got)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestGRPCHealthOverTLS(t *testing.T) {
	t.Parallel()
	s := healthServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked by %s", r.Proto)
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	h := &model.HealthCheck{Kind: model.HealthGRPC}
	if err := ask(t, s, &model.Service{Name: "a", TLS: &model.BackendTLS{CA: ca}, Health: h}); err != nil {
		t.Error(err)
	}
	if err := ask(t, s, &model.Service{Name: "a", TLS: &model.BackendTLS{}, Health: h}); err == nil {
		t.Error("a stranger was believed")
	}
}

// TestHTTPHealthSpeaksTheServicesProtocol: a server that knows nothing but
// HTTP/2 is not ill for that.
func TestHTTPHealthSpeaksTheServicesProtocol(t *testing.T) {
	t.Parallel()
	s := healthServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.URL.Path != "/up" {
			t.Errorf("asked %s %s", r.Proto, r.URL.Path)
		}
	})
	h := &model.HealthCheck{Path: "/up"}
	if err := ask(t, s, &model.Service{Name: "a", Protocol: model.HTTP2, Health: h}); err != nil {
		t.Error(err)
	}
	if err := ask(t, s, &model.Service{Name: "a", Health: h}); err == nil {
		t.Error("HTTP/1 was understood")
	}
}

func TestTCPHealth(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(l.Addr().String())
	svc := &model.Service{Name: "a", Health: &model.HealthCheck{Kind: model.HealthTCP}}
	k := newCheck(nil, &Endpoint{host: "127.0.0.1", addr: addr}, svc)
	question, err := k.prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.bounded(t.Context(), question); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := k.bounded(t.Context(), question); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("closed: %v", err)
	}
	k.cfg.Timeout = time.Millisecond
	err = k.bounded(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if message(err) != "no answer within 1ms" {
		t.Errorf("%v", err)
	}
}
