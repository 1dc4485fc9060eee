package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/examples/grpc/orders"
	"github.com/naru-mesh/naru/test/freeport"
)

// grpcService runs the Orders service of the examples.
func grpcService(t testing.TB, opts ...grpc.ServerOption) (addr string, h *health.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, h := orders.NewServer(opts...)
	go server.Serve(ln) //nolint:errcheck // it ends with the listener
	t.Cleanup(server.Stop)
	return ln.Addr().String(), h
}

// calls makes a gRPC client of a gateway.
func (g *gateway) calls() orders.OrdersClient {
	g.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+g.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return orders.NewOrdersClient(conn)
}

func grpcConfig(addr, route string) string {
	return "listen: $LISTEN\nlog: {format: json, file: access.log}\nroutes:\n- {match: /, to: orders" + route + "}\nservices:\n  orders: {endpoints: \"" + addr + "\", protocol: http2}\n"
}

func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestGRPCCalls makes each of the four kinds of call.
func TestGRPCCalls(t *testing.T) {
	t.Parallel()
	addr, _ := grpcService(t)
	c := start(t, grpcConfig(addr, "")).calls()
	ctx := brief(t)
	var head, tail metadata.MD
	o, err := c.Get(ctx, &orders.GetRequest{Id: 1}, grpc.Header(&head), grpc.Trailer(&tail))
	if err != nil || o.Item != "tea" {
		t.Errorf("Get: %v, %v", o, err)
	}
	if _, err := c.Get(ctx, &orders.GetRequest{Id: 9}); status.Code(err) != codes.NotFound || status.Convert(err).Message() != "there is no order 9" {
		t.Errorf("Get of nothing: %v", err)
	}
	list, err := c.List(ctx, &orders.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tea", "milk"} {
		if o, err := list.Recv(); err != nil || o.Item != want {
			t.Errorf("List: %v, %v", o, err)
		}
	}
	if _, err := list.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of List: %v", err)
	}
	total, err := c.Total(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if err := total.Send(&orders.Order{Count: int32(n), Item: strings.Repeat("x", 10_000)}); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := total.CloseAndRecv(); err != nil || sum.Count != 4950 {
		t.Errorf("Total: %v, %v", sum, err)
	}
	chat, err := c.Chat(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 10; n++ {
		if err := chat.Send(&orders.Note{Text: "hi"}); err != nil {
			t.Fatal(err)
		}
		if note, err := chat.Recv(); err != nil || note.Text != fmt.Sprintf("%d: hi", n) {
			t.Fatalf("Chat: %v, %v", note, err)
		}
	}
	if err := chat.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of Chat: %v", err)
	}
}

// TestGRPCErrors: what naru says itself is a status, too.
func TestGRPCErrors(t *testing.T) {
	t.Parallel()
	dead := "127.0.0.1:" + freeport.Hold(t)
	addr, _ := grpcService(t)
	g := start(t, `listen: $LISTEN
routes:
- {match: POST orders.test/orders.v1.Orders/Get, to: dead}
- {match: POST orders.test/orders.v1.Orders/Cancel, respond: 403 not you}
- {match: POST orders.test/orders.v1.Orders/Chat, to: orders, timeout: {request: 300ms}}
services:
  dead: {endpoints: "`+dead+`", protocol: http2}
  orders: {endpoints: "`+addr+`", protocol: http2}
`)
	conn, err := grpc.NewClient("passthrough:///"+g.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders.test"), grpc.WithDisableServiceConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, ctx := orders.NewOrdersClient(conn), brief(t)
	var head metadata.MD
	_, err = c.Get(ctx, &orders.GetRequest{Id: 1}, grpc.Header(&head))
	wantStatus(t, "refused", err, codes.Unavailable, "The service refused the connection")
	_, err = c.Create(ctx, &orders.CreateRequest{})
	wantStatus(t, "no route", err, codes.Unimplemented, "No route matches")
	_, err = c.Cancel(ctx, &orders.CancelRequest{})
	wantStatus(t, "answered", err, codes.PermissionDenied, "not you")
	chat, err := c.Chat(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// The service waits for a note, which does not come. It was told how much
	// time it has, so that it may be the first to say so.
	if _, err = chat.Recv(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("too slow: %v", err)
	}
}

func wantStatus(t *testing.T, what string, err error, code codes.Code, message string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || s.Message() != message {
		t.Errorf("%s: %v, want %v %q", what, err, code, message)
	}
}

// TestGRPCDeadlines: the service hears how much time is left, and of a client
// that leaves.
func TestGRPCDeadlines(t *testing.T) {
	t.Parallel()
	left, gone := make(chan time.Duration, 20), make(chan error, 20)
	addr, _ := grpcService(t, grpc.StreamInterceptor(func(_ any, s grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
		if deadline, ok := s.Context().Deadline(); !ok {
			left <- 0
		} else if d := time.Until(deadline); d > 0 { // else it is over before it begins
			left <- d
		}
		<-s.Context().Done()
		gone <- s.Context().Err()
		return s.Context().Err()
	}))
	c := start(t, grpcConfig(addr, "")).calls()
	// Without a deadline there is none, and cancelling reaches the service.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := c.Chat(ctx); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, left); d != 0 {
		t.Errorf("the service has %v", d)
	}
	cancel()
	if err := receive(t, gone); !errors.Is(err, context.Canceled) {
		t.Errorf("the service heard %v", err)
	}
	// On a busy machine the time may be over before the service hears of a call.
	heard := false
	for most := 200 * time.Millisecond; !heard; most *= 2 {
		ctx, cancel := context.WithTimeout(brief(t), most)
		chat, err := c.Chat(ctx)
		if err == nil {
			_, err = chat.Recv()
		}
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			t.Fatal(err)
		}
		select {
		case d := <-left:
			if heard = true; d > most {
				t.Errorf("of %v the service has %v", most, d)
			}
		default:
		}
	}
	if err := receive(t, gone); err == nil {
		t.Error("the service did not hear of the end")
	}
}

// TestGRPCRetries: a status that the route names is tried again, as long as
// nothing else came.
func TestGRPCRetries(t *testing.T) {
	t.Parallel()
	tries := newSightings()
	addr, _ := grpcService(t, grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		tries.add("try")
		if tries.count() < 3 {
			return nil, status.Error(codes.Unavailable, "later")
		}
		return h(ctx, r)
	}))
	c := start(t, grpcConfig(addr, ", retry: {attempts: 3, on: unavailable, backoff: 1ms}")).calls()
	if o, err := c.Get(brief(t), &orders.GetRequest{Id: 2}); err != nil || o.Item != "milk" || tries.count() != 3 {
		t.Errorf("%v, %v after %d tries", o, err, tries.count())
	}
	if _, err := c.Get(brief(t), &orders.GetRequest{Id: 9}); status.Code(err) != codes.NotFound || tries.count() != 4 {
		t.Errorf("%v after %d tries", err, tries.count())
	}
}

// TestGRPCBounds: what the codec refuses by itself is a status, too.
func TestGRPCBounds(t *testing.T) {
	t.Parallel()
	addr, _ := grpcService(t)
	g := start(t, "limits: {bodyBytes: 1000}\n"+grpcConfig(addr, ""))
	c := g.calls()
	_, err := c.Create(brief(t), &orders.CreateRequest{Order: &orders.Order{Item: strings.Repeat("x", 2000), Count: 1}})
	wantStatus(t, "too large", err, codes.ResourceExhausted, "The request body is too large")
	if o, err := c.Get(brief(t), &orders.GetRequest{Id: 1}); err != nil || o.Item != "tea" {
		t.Errorf("afterwards: %v, %v", o, err)
	}
}
