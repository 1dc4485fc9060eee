package workloadapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/observe"
)

// Holder has the identities of this machine; identity/agent implements it.
type Holder interface {
	Hold(id identity.ID) (release func())
	SVID(id identity.ID) *identity.SVID
	Bundles() *identity.Bundles
	Changed() <-chan struct{}
	JWT(ctx context.Context, id identity.ID, audience []string) (string, error)
	VerifyJWT(token, audience string) (identity.ID, map[string]any, error)
}

// Attest tells which identities a process of this machine has; none is
// PermissionDenied. An error says that it cannot be told now. Any goroutine.
type Attest func(p identity.Process) ([]identity.ID, error)

// Server serves the Workload API.
type Server struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	holder Holder
	attest Attest
	log    *slog.Logger
	grpc   *grpc.Server

	calls, denied atomic.Uint64
	streams       atomic.Int64

	mu      sync.Mutex
	recheck chan struct{} // closed by Recheck
}

// Bounds.
const (
	maxMessage = 64 << 10
	maxStreams = 100 // of one connection
)

// New makes a Server. log may be nil.
func New(holder Holder, attest Attest, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{holder: holder, attest: attest, log: log, recheck: make(chan struct{})}
	s.grpc = grpc.NewServer(grpc.Creds(peers{}), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(maxStreams),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
			defer s.recovered(&err)
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer s.recovered(&err)
			s.streams.Add(1)
			defer s.streams.Add(-1)
			return next(srv, stream)
		}))
	workload.RegisterSpiffeWorkloadAPIServer(s.grpc, s)
	return s
}

func (s *Server) recovered(err *error) {
	if p := recover(); p != nil {
		s.log.Error("a call of the workload api panicked", "panic", p, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error")
	}
}

// Listen makes the socket at path, which every process of the machine may
// connect to: who it is decides. A socket that a process left behind is
// replaced; one that somebody listens on is an error, and so is a folder into
// which others may put one of their own (identity.Keepers).
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("workload api: %w", err)
	}
	if _, err := identity.Keepers(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("workload api: %w", err)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		info, statErr := os.Lstat(path)
		if statErr == nil && info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("workload api: %s is there and is no socket", path)
		}
		if c, dialErr := net.Dial("unix", path); dialErr == nil {
			_ = c.Close()
			return nil, fmt.Errorf("workload api: another process listens on %s", path)
		}
		if err = os.Remove(path); err == nil {
			l, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("workload api: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("workload api: %w", err)
	}
	return l, nil
}

// Serve serves until Close. l is closed then.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(newBounded(l)) }

// Close ends all calls, and waits for them.
func (s *Server) Close() { s.grpc.Stop() }

// Recheck has all streams asked again who they are: workloads came or went.
func (s *Server) Recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.recheck)
	s.recheck = make(chan struct{})
}

func (s *Server) rechecked() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recheck
}

// Register adds the metrics of the server.
func (s *Server) Register(g *observe.Registry) {
	g.Func("naru_workload_api_calls_total", "Calls of the Workload API that workloads made.", observe.KindCounter, nil,
		func(emit func(float64, ...string)) { emit(float64(s.calls.Load())) })
	g.Func("naru_workload_api_denied_total", "Calls of the Workload API by processes without an identity, or without the one that they asked for.", observe.KindCounter, nil,
		func(emit func(float64, ...string)) { emit(float64(s.denied.Load())) })
	g.Func("naru_workload_api_streams", "Open streams of the Workload API.", observe.KindGauge, nil,
		func(emit func(float64, ...string)) { emit(float64(s.streams.Load())) })
}
