package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
)

// DefaultAddr is where the admin server listens when nothing is said.
const DefaultAddr = "127.0.0.1:9901"

// Sources are what the server may ask; each is called from any goroutine.
type Sources struct {
	// Metrics serves the Prometheus page.
	Metrics http.Handler
	// Ready says whether traffic may be sent here, and if not why.
	Ready func() (ok bool, why string)
	// Snapshot is the configuration in force, nil before the first.
	Snapshot func() *model.Snapshot
	// Problems are what is wrong now: the user's mistakes in the newest
	// configuration, and what does not serve as it says.
	Problems func() []model.Problem
	// Status is what /status shows: a value for JSON.
	Status func() any
	Log    *slog.Logger
}

// Server answers operators.
type Server struct {
	http *http.Server
	ln   net.Listener
	log  *slog.Logger
}

// Listen binds addr ("host:port") and gives a server that is ready to Serve.
func Listen(addr string, src Sources) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin server: %w (--admin ADDRESS takes another, --admin off none)", err)
	}
	handler := Handler(src)
	if a, ok := ln.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		handler = localOnly(handler)
	}
	return &Server{ln: ln, log: src.Log, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
	}}, nil
}

// Addr is what was bound.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Serve answers until Close; it returns nil then.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close lets requests that run end, for at most a second.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

// Handler gives the pages.
func Handler(src Sources) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", src.Metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		// The process answers, so it lives; anything more belongs to /readyz, or
		// a bad configuration would have every instance restarted.
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ok, why := src.Ready(); !ok {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		s := src.Snapshot()
		if s == nil {
			http.Error(w, "no configuration yet", http.StatusServiceUnavailable)
			return
		}
		shown, err := Redact(s)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply(w, shown)
	})
	mux.HandleFunc("GET /problems", func(w http.ResponseWriter, _ *http.Request) {
		all := src.Problems()
		if all == nil {
			all = []model.Problem{}
		}
		reply(w, all)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { reply(w, src.Status()) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, index) })
	return mux
}

// localOnly refuses requests whose Host is not this machine's own name for
// itself: a web page that a browser here has open could otherwise read the
// pages, by a name of its own that leads to 127.0.0.1 (DNS rebinding).
func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this server answers to localhost and 127.0.0.1 only; to reach it by another name set admin to an address that is not loopback", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

const index = `naru admin
/healthz      the process lives
/readyz       traffic may be sent here
/metrics      Prometheus
/config       the configuration in force, without secrets
/problems     what is wrong now: mistakes, ports, certificates
/status       version, ports, loops, services
/debug/pprof/ profiles
`

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		// The head is sent; all that is left is to break the body off.
		panic(http.ErrAbortHandler)
	}
}
