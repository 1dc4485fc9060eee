package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/upstream"
)

// clusterOf a service in the Program of now.
func (w *world) clusterOf(name string) *upstream.Cluster {
	for _, r := range w.proxy.Program().rules {
		for i := range r.backends {
			if b := &r.backends[i]; b.noun.Service == name {
				return b.cluster
			}
		}
	}
	return nil
}

// lends says whether c still gives connections; the one it gives is closed.
func (w *world) lends(c *upstream.Cluster) bool {
	conn, _, _ := c.Pick(w.loops[0], &upstream.Ask{Fresh: true})
	if conn != nil {
		conn.Close()
	}
	return conn != nil
}

func TestClustersLiveAsLongAsTheirExchanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.apply(shop(2, retries(5)))
		a := w.clusterOf("a")
		first := w.get("/")
		c := shop(1)
		c.Settings.AccessLog = "json"
		w.apply(c) // the same service, another Program
		c = shop(1, func(r *model.Route) { r.Backends[0].Service = "m" })
		c.Services = c.Services[1:]
		w.apply(c) // service a is gone
		synctest.Wait()
		w.run()
		// No exchange runs on the second Program, which was the last to name a;
		// one of the first may still want it.
		if !w.lends(a) {
			t.Fatal("the cluster ended while an exchange may pick from it")
		}
		w.conn(0).fail(dropped)
		w.loops[0].pass(time.Second)
		for _, c := range w.codec.conns {
			if c.x != nil {
				c.respond(200, "ok", false)
			}
		}
		if first.status != 200 {
			t.Fatalf("status %d", first.status)
		}
		// It has begun to answer: no other try can follow.
		synctest.Wait()
		w.run()
		if w.lends(a) {
			t.Error("the cluster lives on")
		}
		for _, c := range w.codec.conns {
			if c.x != nil {
				c.data("", true)
			}
		}
		if n := len(w.proxy.retiring); n != 0 {
			t.Errorf("%d retirements are left", n)
		}
		w.settled(1)
	})
}

func TestManyReloadsUnderATunnel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1))
		s := w.get("/", "Upgrade", "x")
		w.conn(0).sent = false
		w.conn(0).respond(101, "", false)
		for i := range 50 {
			c := shop(1)
			c.Routes[0].Order.Index = i + 1
			w.apply(c)
			synctest.Wait()
		}
		if n := len(w.proxy.retiring); n != 0 {
			t.Errorf("%d retirements wait for a tunnel", n)
		}
		w.conn(0).data("bye", true)
		if string(s.body) != "bye" {
			t.Errorf("the tunnel passed %q", s.body)
		}
		w.settled(1)
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.apply(shop(1))
		d := w.proxy.ports[0].doors[0]
		w.get("/")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.proxy.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a request under way: %v", err)
		}
		if !d.Draining() || len(w.driver.open) != 0 || w.asked() != "" {
			t.Error("it goes on listening")
		}
		if err := w.try(shop(2)); !errors.Is(err, errDraining) {
			t.Errorf("Apply: %v", err)
		}
		w.conn(0).respond(200, "", true)
		began := time.Now()
		if err := w.proxy.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < quiet || took > 2*quiet {
			t.Errorf("it took %v", took)
		}
		w.settled(1)
	})
}

// feed gives what it is told to.
type feed struct{ next chan any }

func (f *feed) Next(ctx context.Context, _ model.Version) (*model.Snapshot, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case v := <-f.next:
		if err, is := v.(error); is {
			return nil, err
		}
		return v.(*model.Snapshot), nil
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		f := &feed{make(chan any)}
		var told []string
		done := make(chan struct{})
		go func() {
			w.proxy.Follow(ctx, f, func(s *model.Snapshot, err error) {
				if err != nil {
					told = append(told, err.Error())
					return
				}
				told = append(told, "applied")
			})
			close(done)
		}()
		f.next <- model.Freeze(shop(1))
		f.next <- errors.New("the feed broke")
		bad := shop(1)
		bad.Listeners[0].Address = "nowhere"
		f.next <- model.Freeze(bad)
		f.next <- model.Freeze(shop(2))
		synctest.Wait()
		cancel()
		<-done
		if got := strings.Join(told, "; "); got != `applied; listener l: "nowhere" is not an IP address; applied` {
			t.Error(got)
		}
		if n := len(w.proxy.Program().Snapshot.Services[0].Endpoints); n != 2 {
			t.Errorf("the last service has %d endpoints", n)
		}
	})
}

func TestPanicWhileCompiling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(1))
	before := w.proxy.Program()
	c := shop(1)
	s := model.Freeze(c)
	s.Routes = append(s.Routes, nil)
	if err := w.proxy.Apply(s); err == nil || w.proxy.Program() != before {
		t.Errorf("error %v, same Program: %v", err, w.proxy.Program() == before)
	}
	w.apply(shop(2))
}
