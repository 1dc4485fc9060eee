package upstream

import (
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
)

// TestFickleEndpoint: connections to an endpoint that closes each as soon as it has
// answered are not kept, for a while; one that dies with all its connections keeps
// them when it is back.
func TestFickleEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(service("a", 1))
	l := w.loops[0]
	once := func() *fakeConn {
		c, _ := w.pick("a")
		if w.stats("a").Open > 0 && !c.ended {
			c.owner.OnOpen(c)
		}
		l.pass(time.Millisecond)
		return c
	}
	// All at once: an instance died.
	var many []*fakeConn
	for range 20 {
		many = append(many, once())
	}
	for _, c := range many {
		c.finish()
	}
	l.pass(time.Millisecond)
	for _, c := range many {
		c.fail(wire.ErrClosed)
	}
	kept := func() bool {
		c := once()
		c.finish()
		l.run()
		is := !c.ended
		if is {
			l.pass(time.Millisecond)
			c.fail(wire.ErrClosed)
		}
		return is
	}
	for i := range mostBrief - 1 {
		if !kept() {
			t.Fatalf("after %d connections in a row none is kept", i+1)
		}
	}
	if kept() {
		t.Fatal("connections are kept that are closed at once")
	}
	l.pass(fickleTime)
	if !kept() || kept() {
		t.Error("after a while one is kept to see, and when that goes none again")
	}
	l.pass(fickleTime)
	c := once()
	c.finish()
	l.pass(time.Second) // it stays, and serves again
	if again := once(); again != c {
		t.Fatal("it was not lent again")
	}
	c.finish()
	c.fail(wire.ErrClosed)
	if !kept() {
		t.Error("one that works again is not kept")
	}
}
