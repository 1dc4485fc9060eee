package mesh

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// stream is a Feed that a test fills.
type stream struct {
	now  *model.Snapshot
	next chan *model.Snapshot
}

func (s *stream) Next(ctx context.Context, after model.Version) (*model.Snapshot, error) {
	if s.now != nil && s.now.Version != after {
		return s.now, nil
	}
	select {
	case s.now = <-s.next:
		return s.now, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func meshConfig(port uint16) *model.Snapshot {
	return model.Freeze(&model.Config{
		Mesh: &model.Mesh{},
		Services: []*model.Service{{Name: "orders", Mesh: &model.MeshService{
			Namespace: "default", Host: "orders", Port: port, Protocol: model.AppHTTP}}},
		Workloads: []*model.Workload{{Name: "default/orders-1", Namespace: "default", Account: "orders", Address: "10.0.0.1",
			MeshPort: model.MeshPort, Ports: []model.WorkloadPort{{Service: "orders", Port: port}}}},
	})
}

func TestLoweringFollowsBoth(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	feed := &stream{next: make(chan *model.Snapshot, 1)}
	l := NewFeed(feed)
	begun, generation := 0, 1
	refuse := errors.New("no identity")
	l.Begin = func(context.Context, *model.Snapshot) error {
		if begun++; begun == 1 {
			return refuse
		}
		return nil
	}
	var node Node
	l.Node = func(*model.Config) (Node, int) { return node, generation }

	plain := model.Freeze(&model.Config{Listeners: []*model.Listener{{Name: "l", Port: 1, Protocol: model.HTTP}}})
	feed.next <- plain
	s, err := l.Next(ctx, "")
	if err != nil || s != plain {
		t.Fatalf("without a mesh it gives %v, %v", s, err)
	}
	feed.next <- meshConfig(9002)
	if _, err := l.Next(ctx, s.Version); !errors.Is(err, refuse) {
		t.Fatalf("a node that cannot begin: %v", err)
	}
	s, err = l.Next(ctx, s.Version)
	if err != nil || begun != 2 || l.Generation(s.Version) != 1 {
		t.Fatalf("with a mesh: %v, %v, begun %d times", s, err, begun)
	}
	before := len(s.Listeners)

	// A workload comes while the follower waits.
	got := make(chan *model.Snapshot)
	go func() {
		s, _ := l.Next(ctx, s.Version)
		got <- s
	}()
	node, generation = Node{Locals: []Local{{Workload: feed.now.Workloads[0], Outbound: 15100}}}, 2
	l.Again()
	after := <-got
	if len(after.Listeners) <= before || l.Generation(after.Version) != 2 {
		t.Errorf("%d listeners before, %d after; generation %d", before, len(after.Listeners), l.Generation(after.Version))
	}
	short, end := context.WithTimeout(ctx, 20*time.Millisecond)
	defer end()
	if _, err := l.Next(short, after.Version); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing has changed: %v", err)
	}
}
