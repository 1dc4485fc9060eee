package admin

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// crowd is a Workloads of one.
type crowd struct {
	refuse error
	wish   *Wish
	by     Caller
	steps  chan string
	ready  chan error
}

func (c *crowd) Attach(_ context.Context, wish *Wish, by Caller) (Attached, error) {
	if c.refuse != nil {
		return nil, c.refuse
	}
	c.wish, c.by = wish, by
	return &member{crowd: c}, nil
}

func (c *crowd) Renew(_ context.Context, by Caller) (int, error) {
	c.by = by
	return 3, c.refuse
}

type member struct {
	*crowd
	once sync.Once
}

func (m *member) About() About {
	return About{Name: "default/orders-1", Identity: "spiffe://naru.local/ns/default/sa/orders", Env: []string{"A=b"}}
}
func (m *member) Ready(ctx context.Context) error {
	select {
	case err := <-m.ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
func (m *member) Started()                    { m.steps <- "started" }
func (m *member) Drain(context.Context) error { m.steps <- "drain"; return nil }
func (m *member) Leave()                      { m.once.Do(func() { m.steps <- "leave" }) }

func meet(t *testing.T, c *crowd) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.sock")
	s, err := ListenWorkloads(path, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { s.Serve(); close(ended) }()
	t.Cleanup(func() { s.Close(); <-ended })
	return path
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestRenew(t *testing.T) {
	t.Parallel()
	c := &crowd{}
	path := meet(t, c)
	if n, err := Renew(bounded(t), path); n != 3 || err != nil || c.by.PID != os.Getpid() {
		t.Errorf("%d, %v, by %+v", n, err, c.by)
	}
	refusing := meet(t, &crowd{refuse: errors.New("only the administrator may")})
	if n, err := Renew(bounded(t), refusing); n != 0 || err == nil || err.Error() != "only the administrator may" {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := Renew(bounded(t), path+"x"); !errors.Is(err, ErrNoNode) {
		t.Error(err)
	}
}

func TestWorkloadsLife(t *testing.T) {
	t.Parallel()
	c := &crowd{steps: make(chan string, 10), ready: make(chan error, 1)}
	path := meet(t, c)
	a, err := Attach(bounded(t), path, Wish{Service: "orders", Ports: []WishPort{{Port: 9002, Protocol: "http"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a.About.Name != "default/orders-1" || len(a.About.Env) != 1 {
		t.Errorf("about %+v", a.About)
	}
	if c.by.PID != os.Getpid() || c.by.UID != uint32(os.Getuid()) {
		t.Errorf("the kernel says %+v", c.by)
	}
	if c.wish.Service != "orders" || len(c.wish.Ports) != 1 || c.wish.Ports[0].Protocol != "http" {
		t.Errorf("wished %+v", c.wish)
	}
	c.ready <- nil
	if err := a.Ready(bounded(t)); err != nil {
		t.Error(err)
	}
	if err := a.Started(); err != nil {
		t.Error(err)
	}
	if err := a.Drain(bounded(t)); err != nil {
		t.Error(err)
	}
	a.Leave()
	for _, want := range []string{"started", "drain", "leave"} {
		if got := <-c.steps; got != want {
			t.Errorf("step %s, not %s", got, want)
		}
	}
}

func TestWorkloadThatIsNotReady(t *testing.T) {
	t.Parallel()
	c := &crowd{steps: make(chan string, 10), ready: make(chan error, 1)}
	a, err := Attach(bounded(t), meet(t, c), Wish{Account: "job"})
	if err != nil {
		t.Fatal(err)
	}
	c.ready <- errors.New("no identity")
	if err := a.Ready(bounded(t)); err == nil || err.Error() != "no identity" {
		t.Errorf("ready: %v", err)
	}
	a.Leave()
	if got := <-c.steps; got != "leave" {
		t.Errorf("step %s", got)
	}
}

func TestWorkloadIsRefused(t *testing.T) {
	t.Parallel()
	c := &crowd{refuse: errors.New("user 1000 may not be orders")}
	if _, err := Attach(bounded(t), meet(t, c), Wish{Service: "orders"}); err == nil || err.Error() != "user 1000 may not be orders" {
		t.Errorf("refused with %v", err)
	}
}

// TestServerEnds: the other end hears of it.
func TestServerEnds(t *testing.T) {
	t.Parallel()
	c := &crowd{steps: make(chan string, 10), ready: make(chan error, 1)}
	path := filepath.Join(t.TempDir(), "node.sock")
	s, err := ListenWorkloads(path, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	a, err := Attach(bounded(t), path, Wish{Account: "job"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenWorkloads(path, c, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two serve at one socket")
	}
	s.Close()
	<-a.Gone()
	if err := a.Ready(bounded(t)); err == nil {
		t.Error("ready without a proxy")
	}
	a.Leave()
	if _, err := Attach(bounded(t), path, Wish{}); !errors.Is(err, ErrNoNode) {
		t.Errorf("attached to nobody: %v", err)
	}
}

// TestConversationsAreBounded: a user who is not root cannot use up the
// process's files, and others do not notice.
func TestConversationsAreBounded(t *testing.T) {
	t.Parallel()
	s := &WorkloadServer{open: map[uint32]int{}}
	for i := range mostConversations {
		if !s.enter(1234) {
			t.Fatalf("refused at %d", i)
		}
	}
	if s.enter(1234) {
		t.Error("one more than there may be")
	}
	if !s.enter(1235) {
		t.Error("another user is refused")
	}
	s.leave(1235)
	s.leave(1234)
	if !s.enter(1234) {
		t.Error("refused though one has left")
	}
	for range mostConversations + 1 {
		if !s.enter(0) {
			t.Fatal("root is refused")
		}
	}
	if len(s.open) != 2 {
		t.Errorf("%v", s.open)
	}
}

// TestFolderOfAnotherUser: whoever has made the folder of a socket before us, or
// may write to it, is not taken for us, nor are we put there.
func TestFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	path, log := filepath.Join(open, "node.sock"), slog.New(slog.DiscardHandler)
	if _, err := ListenWorkloads(path, &crowd{}, log); !errors.Is(err, identity.ErrForeign) || !strings.Contains(err.Error(), "--socket PATH") {
		t.Errorf("workloads are met there: %v", err)
	}
	if _, err := ListenPlane(path, nil, log); !errors.Is(err, identity.ErrForeign) {
		t.Errorf("a control plane is met there: %v", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Attach(bounded(t), path, Wish{Account: "job"}); !errors.Is(err, identity.ErrForeign) || errors.Is(err, ErrNoNode) {
		t.Errorf("attached: %v", err)
	}
	if _, err := Renew(bounded(t), path); !errors.Is(err, identity.ErrForeign) {
		t.Errorf("renewed: %v", err)
	}
	if _, err := AtPlane(path).Status(bounded(t)); err == nil || !strings.Contains(err.Error(), "is not asked") {
		t.Errorf("status: %v", err)
	}
	if _, err := AtPlane(filepath.Join(open, "..", "none", "control.sock")).Status(bounded(t)); err == nil || !strings.Contains(err.Error(), "no control plane is met at") {
		t.Errorf("status where no folder is: %v", err)
	}
}

// TestNodeThatEndsMeanwhile: a proxy that ends after it was connected to, and
// before it has answered, is one that is not there yet: it is asked again, and
// nobody is shown a bare EOF.
func TestNodeThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "node.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for read := range 4 { // before, and after it has read
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if read%2 == 1 {
				_, _ = bufio.NewReader(conn).ReadBytes('\n')
			}
			conn.Close()
		}
	}()
	for range 2 {
		if _, err := Attach(bounded(t), path, Wish{Account: "job"}); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "before it answered") {
			t.Errorf("attached: %v", err)
		}
	}
	for range 2 {
		if _, err := Renew(bounded(t), path); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "before it answered") {
			t.Errorf("renewed: %v", err)
		}
	}
	l.Close()
	<-ended
}
