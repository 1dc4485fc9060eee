package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	orcadata "github.com/cncf/xds/go/xds/data/orca/v3"
	orcaservice "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
)

// interopLog is grpc-go's log. The interop client ends the process where it is
// not content; that becomes a panic that the case in hand recovers.
type interopLog struct{}

// discontent is what the interop client has to say about a call.
type discontent string

func (interopLog) Info(...any)             {}
func (interopLog) Infoln(...any)           {}
func (interopLog) Infof(string, ...any)    {}
func (interopLog) Warning(...any)          {}
func (interopLog) Warningln(...any)        {}
func (interopLog) Warningf(string, ...any) {}
func (interopLog) Error(...any)            {}
func (interopLog) Errorln(...any)          {}
func (interopLog) Errorf(string, ...any)   {}
func (interopLog) V(int) bool              { return false }
func (interopLog) Fatal(args ...any)       { panic(discontent(fmt.Sprint(args...))) }
func (interopLog) Fatalln(args ...any)     { panic(discontent(fmt.Sprintln(args...))) }
func (interopLog) Fatalf(format string, args ...any) {
	panic(discontent(fmt.Sprintf(format, args...)))
}

// interopCases are all of grpc-go's interop client that need no cloud.
var interopCases = []struct {
	name string
	run  func(ctx context.Context, conn *grpc.ClientConn)
}{
	{"empty_unary", onService(interop.DoEmptyUnaryCall)},
	{"large_unary", onService(interop.DoLargeUnaryCall)},
	{"client_streaming", onService(interop.DoClientStreaming)},
	{"server_streaming", onService(interop.DoServerStreaming)},
	{"ping_pong", onService(interop.DoPingPong)},
	{"empty_stream", onService(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", onService(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", onService(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", onService(interop.DoCancelAfterFirstResponse)},
	{"custom_metadata", onService(interop.DoCustomMetadata)},
	{"status_code_and_message", onService(interop.DoStatusCodeAndMessage)},
	{"special_status_message", onService(interop.DoSpecialStatusMessage)},
	{"unimplemented_method", interop.DoUnimplementedMethod},
	{"unimplemented_service", func(ctx context.Context, conn *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, grpc_testing.NewUnimplementedServiceClient(conn))
	}},
	{"pick_first_unary", onService(func(ctx context.Context, c grpc_testing.TestServiceClient, _ ...grpc.CallOption) {
		interop.DoPickFirstUnary(ctx, c)
	})},
	{"orca_oob", func(ctx context.Context, conn *grpc.ClientConn) {
		interop.DoORCAOOBTest(ctx, grpc_testing.NewTestServiceClient(conn))
	}},
	{"rpc_soak", func(ctx context.Context, conn *grpc.ClientConn) {
		soak(ctx, func() (*grpc.ClientConn, func()) { return conn, func() {} })
	}},
	{"orca_per_rpc", func(ctx context.Context, conn *grpc.ClientConn) {
		interop.DoORCAPerRPCTest(ctx, grpc_testing.NewTestServiceClient(conn))
	}},
}

func onService(do func(context.Context, grpc_testing.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, conn *grpc.ClientConn) { do(ctx, grpc_testing.NewTestServiceClient(conn)) }
}

// soak runs the client's soak cases as its command does, but for the time that
// a call may take: other tests use the machine.
func soak(ctx context.Context, channel func() (*grpc.ClientConn, func())) {
	interop.DoSoakTest(ctx, interop.SoakTestConfig{
		RequestSize: 271828, ResponseSize: 314159, Iterations: 10, NumWorkers: 1,
		PerIterationMaxAcceptableLatency: patience, OverallTimeout: patience, ChannelForTest: channel,
	})
}

// namedServer is grpc-go's interop server, which tells its name where it is
// asked to, as the servers of other languages do.
type namedServer struct {
	grpc_testing.TestServiceServer
}

func (s namedServer) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	out, err := s.TestServiceServer.UnaryCall(ctx, in)
	if err == nil && in.GetFillServerId() {
		out.ServerId = "the one"
	}
	return out, err
}

// reports is the service by which load is told between calls. grpc-go's own one
// tells it every 30 s at most, except to its own tests.
type reports struct {
	orcaservice.UnimplementedOpenRcaServiceServer
	from orca.ServerMetricsRecorder
}

func (r reports) StreamCoreMetrics(_ *orcaservice.OrcaLoadReportRequest, to orcaservice.OpenRcaService_StreamCoreMetricsServer) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		m := r.from.ServerMetrics()
		if err := to.Send(&orcadata.OrcaLoadReport{CpuUtilization: m.CPUUtilization, MemUtilization: m.MemUtilization, Utilization: m.Utilization}); err != nil {
			return err
		}
		select {
		case <-to.Context().Done():
			return to.Context().Err()
		case <-tick.C:
		}
	}
}

// interopService runs grpc-go's interop server.
func interopService(t testing.TB, dialect string) *service {
	t.Helper()
	s := &service{t: t, log: newSightings(), conns: map[net.Conn]bool{}}
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.addr = s.ln.Addr().String()
	opts := []grpc.ServerOption{orca.CallMetricsServerOption(nil)}
	if dialect == h2 {
		pair := pairOf(t, "inside.example")
		opts = append(opts, grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	}
	server := grpc.NewServer(opts...)
	load := orca.NewServerMetricsRecorder()
	grpc_testing.RegisterTestServiceServer(server, namedServer{interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: load})})
	orcaservice.RegisterOpenRcaServiceServer(server, reports{from: load})
	go server.Serve(s.ln) //nolint:errcheck // it ends with the listener
	t.Cleanup(server.Stop)
	return s
}

// TestInterop: grpc-go's interop client reaches grpc-go's interop server through
// one naru, and through two in a row.
func TestInterop(t *testing.T) {
	t.Parallel()
	const listen = "listen: [$LISTEN, {address: 'https://$LISTEN2', tls: {cert: a.crt, key: a.key}}]\nroutes:\n- match: /\n  to: up\nservices:\n"
	gate := func(to string, s *service) *gateway {
		g := prepare(t, listen+asService("up", to, s))
		g.keys("a", 1, "a.example")
		g.run("run", g.file)
		return g
	}
	behind := func(g *gateway, dialect string) *service {
		at := "$LISTEN"
		if dialect == h2 {
			at = "$LISTEN2"
		}
		return &service{addr: g.ports[at]}
	}
	plain, secure := interopService(t, h2c), interopService(t, h2)
	toPlain, toSecure := gate(h2c, plain), gate(h2, secure)
	chainPlain, chainSecure := gate(h2c, behind(toPlain, h2c)), gate(h2, behind(toSecure, h2))
	for _, way := range []struct {
		name string
		from string
		g    *gateway
	}{
		{"h2c to h2c", h2c, toPlain}, {"h2 to h2", h2, toSecure}, {"h2 to h2c", h2, toPlain}, {"h2c to h2", h2c, toSecure},
		{"two in a row, h2c", h2c, chainPlain}, {"two in a row, h2", h2, chainSecure}, {"two in a row, h2c and h2", h2c, chainSecure},
	} {
		for _, c := range interopCases {
			t.Run(way.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				defer failed(t)
				conn := interopClient(t, way.from, behind(way.g, way.from).addr, strings.HasPrefix(c.name, "orca_"))
				defer conn.Close()
				c.run(brief(t), conn)
			})
		}
		t.Run(way.name+"/channel_soak", func(t *testing.T) {
			t.Parallel()
			defer failed(t)
			soak(brief(t), func() (*grpc.ClientConn, func()) {
				conn := interopClient(t, way.from, behind(way.g, way.from).addr, false)
				return conn, func() { conn.Close() }
			})
		})
	}
}

// failed fails the test with what the interop client had to say.
func failed(t *testing.T) {
	if r := recover(); r != nil {
		t.Error(r)
	}
}

// interopClient is a channel as the interop client makes it. With load it is
// one that hears of the server's load.
func interopClient(t *testing.T, dialect, addr string, load bool) *grpc.ClientConn {
	creds := insecure.NewCredentials()
	if dialect == h2 {
		creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig()}
	if load {
		opts = append(opts, grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`))
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		panic(discontent(err.Error()))
	}
	return conn
}
