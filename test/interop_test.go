package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"testing"

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

// interopCases are all of grpc-go's interop client that need no cloud; but for
// pick_first_unary, which needs a server that tells its name, as this one does
// not, and those for which time has to pass.
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
	{"orca_per_rpc", func(ctx context.Context, conn *grpc.ClientConn) {
		interop.DoORCAPerRPCTest(ctx, grpc_testing.NewTestServiceClient(conn))
	}},
}

func onService(do func(context.Context, grpc_testing.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, conn *grpc.ClientConn) { do(ctx, grpc_testing.NewTestServiceClient(conn)) }
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
	grpc_testing.RegisterTestServiceServer(server, interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: orca.NewServerMetricsRecorder()}))
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
				defer func() {
					if r := recover(); r != nil {
						t.Error(r)
					}
				}()
				creds := insecure.NewCredentials()
				if way.from == h2 {
					creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
				}
				opts := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig()}
				if c.name == "orca_per_rpc" {
					opts = append(opts, grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`))
				}
				conn, err := grpc.NewClient("passthrough:///"+behind(way.g, way.from).addr, opts...)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				c.run(brief(t), conn)
			})
		}
	}
}
