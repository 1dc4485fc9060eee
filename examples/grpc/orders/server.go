package orders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// NewServer makes a gRPC server with the Orders service, which has orders 1
// and 2, and with grpc.health.v1. Health sets what the latter says.
func NewServer(opts ...grpc.ServerOption) (s *grpc.Server, h *health.Server) {
	s, h = grpc.NewServer(opts...), health.NewServer()
	RegisterOrdersServer(s, &server{next: 3, orders: map[int64]*Order{
		1: {Id: 1, Item: "tea", Count: 2, State: State_OPEN},
		2: {Id: 2, Item: "milk", Count: 1, State: State_OPEN},
	}})
	healthpb.RegisterHealthServer(s, h)
	h.SetServingStatus(Orders_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	return s, h
}

// server keeps orders in memory.
type server struct {
	UnimplementedOrdersServer
	mu     sync.Mutex
	next   int64
	orders map[int64]*Order
}

func (s *server) find(id int64) (*Order, error) {
	o := s.orders[id]
	if o == nil {
		return nil, status.Errorf(codes.NotFound, "there is no order %d", id)
	}
	return o, nil
}

func copied(o *Order) *Order {
	return &Order{Id: o.Id, Item: o.Item, Count: o.Count, State: o.State}
}

func (s *server) Get(_ context.Context, r *GetRequest) (*Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.find(r.Id)
	if err != nil {
		return nil, err
	}
	return copied(o), nil
}

func (s *server) List(r *ListRequest, to grpc.ServerStreamingServer[Order]) error {
	s.mu.Lock()
	var all []*Order
	for _, id := range slices.Sorted(maps.Keys(s.orders)) {
		if o := s.orders[id]; r.State == State_STATE_UNSPECIFIED || r.State == o.State {
			all = append(all, copied(o))
		}
	}
	s.mu.Unlock()
	for _, o := range all {
		if err := to.Send(o); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) Create(_ context.Context, r *CreateRequest) (*Order, error) {
	if r.GetOrder().GetItem() == "" || r.GetOrder().GetCount() < 1 {
		return nil, status.Error(codes.InvalidArgument, "an order has an item and a count")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &Order{Id: s.next, Item: r.Order.Item, Count: r.Order.Count, State: State_OPEN}
	s.orders[o.Id] = o
	s.next++
	return copied(o), nil
}

func (s *server) Cancel(_ context.Context, r *CancelRequest) (*Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.find(r.Id)
	if err != nil {
		return nil, err
	}
	o.State = State_CANCELLED
	return copied(o), nil
}

func (s *server) Total(from grpc.ClientStreamingServer[Order, TotalResponse]) error {
	total := &TotalResponse{}
	for {
		o, err := from.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return from.SendAndClose(total)
		case err != nil:
			return err
		}
		total.Count += int64(o.Count)
	}
}

func (s *server) Chat(with grpc.BidiStreamingServer[Note, Note]) error {
	for n := 1; ; n++ {
		note, err := with.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := with.Send(&Note{Text: fmt.Sprintf("%d: %s", n, note.Text)}); err != nil {
			return err
		}
	}
}
