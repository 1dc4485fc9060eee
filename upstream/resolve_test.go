package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// nameServer answers lookups as the test says and notes when they came.
type nameServer struct {
	mu    sync.Mutex
	addrs map[string]string // host to addresses, space between
	ttl   time.Duration
	takes time.Duration
	asked map[string][]time.Time
}

func newNameServer() *nameServer {
	return &nameServer{addrs: map[string]string{}, asked: map[string][]time.Time{}}
}

func (n *nameServer) use(e *Env) { e.Lookup = n.lookup }

func (n *nameServer) set(host, addrs string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[host] = addrs
}

func (n *nameServer) times(host string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked[host])
}

func (n *nameServer) lookup(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	n.mu.Lock()
	n.asked[host] = append(n.asked[host], time.Now())
	answer, takes, ttl := n.addrs[host], n.takes, n.ttl
	n.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if answer == "" {
		return nil, 0, errors.New("no such host")
	}
	var list []netip.Addr
	for _, a := range strings.Fields(answer) {
		if a != "nothing" {
			list = append(list, netip.MustParseAddr(a))
		}
	}
	return list, ttl, nil
}

func named(name string, hosts ...string) *model.Service {
	s := &model.Service{Name: name}
	for _, h := range hosts {
		s.Endpoints = append(s.Endpoints, &model.Endpoint{Host: h, Port: 80})
	}
	return s
}

// pass lets fake time go by.
func pass(d time.Duration) { <-time.After(d) }

// addrs are where a cluster leads now.
func (w *world) addrs(name string) string {
	synctest.Wait()
	var list []string
	for _, r := range w.cluster(name).plan.Load().tiers[0].rows.all() {
		list = append(list, r.ep.Addr().Addr().String())
	}
	return strings.Join(list, " ")
}

func TestNamesAreKnownWhenPrepareReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.takes = time.Second
		ns.set("one", "10.0.0.1 ::ffff:10.0.0.2 10.0.0.1 fd00::1")
		ns.set("two", "10.0.1.1")
		w := newWorld(t, 1, ns.use)
		began := time.Now()
		w.apply(named("a", "one", "10.9.9.9", "two"), named("b", "two"))
		if d := time.Since(began); d != time.Second {
			t.Errorf("names were looked up in %v, not together", d)
		}
		if got := w.addrs("a"); got != "10.0.0.1 10.0.0.2 fd00::1 10.9.9.9 10.0.1.1" {
			t.Errorf("addresses %q", got)
		}
		if got := w.addrs("b"); got != "10.0.1.1" || len(ns.times("two")) != 1 {
			t.Errorf("addresses %q, looked up %d times", got, len(ns.times("two")))
		}
		if _, ep := w.pick("b"); ep.Host() != "two" || ep.Addr() != netip.MustParseAddrPort("10.0.1.1:80") {
			t.Errorf("picked %s at %s", ep.Host(), ep.Addr())
		}
		// Known names are not waited for.
		ns.takes = time.Hour
		began = time.Now()
		if w.apply(named("a", "one"), named("c", "two")); time.Since(began) != 0 {
			t.Error("a known name was waited for")
		}
	})
}

func TestSlowNameComesLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.takes = 3 * time.Second
		ns.set("slow", "10.0.0.1")
		w := newWorld(t, 1, ns.use)
		began := time.Now()
		w.apply(named("a", "slow"))
		if d := time.Since(began); d != firstAnswer {
			t.Errorf("waited for %v", d)
		}
		if _, _, why := w.cluster("a").Pick(w.loops[0], &Ask{}); why != observe.NoEndpoint {
			t.Errorf("a service without addresses gives %q", why)
		}
		pass(time.Second)
		if got := w.addrs("a"); got != "10.0.0.1" {
			t.Errorf("addresses %q", got)
		}
	})
}

func TestNamesAreRefreshedAtTheirTTL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ttl, want time.Duration }{
		{0, 30 * time.Second}, {7 * time.Second, 7 * time.Second}, {time.Hour, 30 * time.Second}, {time.Millisecond, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ns := newNameServer()
			ns.ttl = c.ttl
			ns.set("n", "10.0.0.1 10.0.0.2")
			w := newWorld(t, 1, ns.use)
			w.apply(named("a", "n"))
			plan := w.cluster("a").plan.Load()
			conn, ep := w.pick("a")
			conn.opened()
			conn.finish()
			ns.set("n", "10.0.0.2 10.0.0.1")
			pass(c.want)
			synctest.Wait()
			if w.cluster("a").plan.Load() != plan {
				t.Error("another order of the same addresses is not a change")
			}
			ns.set("n", "10.0.0.3 "+ep.Addr().Addr().String())
			pass(c.want)
			if got, want := w.addrs("a"), ep.Addr().Addr().String()+" 10.0.0.3"; got != want { // what stays keeps its place
				t.Errorf("ttl %v: addresses %q, want %q", c.ttl, got, want)
			}
			w.run()
			if conn.ended {
				t.Error("an address that stayed lost its connection")
			}
			times := ns.times("n")
			if len(times) != 3 || times[1].Sub(times[0]) != c.want {
				t.Errorf("ttl %v: looked up at %v", c.ttl, times)
			}
		})
	}
}

func TestFailedLookupKeepsAddressesAndBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.set("n", "10.0.0.1")
		w := newWorld(t, 1, ns.use)
		w.apply(named("a", "n"))
		ns.set("n", "")
		pass(mostTTL + 2*time.Minute)
		if got := w.addrs("a"); got != "10.0.0.1" {
			t.Errorf("after failures: %q", got)
		}
		times := ns.times("n")
		for i, want := range []time.Duration{30, 1, 2, 4, 8, 16, 30, 30} {
			if i+1 < len(times) && times[i+1].Sub(times[i]) != want*time.Second {
				t.Errorf("lookup %d came after %v, want %d s", i+1, times[i+1].Sub(times[i]), want)
			}
		}
		if len(times) < 8 {
			t.Errorf("looked up %d times", len(times))
		}
		ns.set("n", "nothing") // an empty answer is a failure too
		pass(time.Minute)
		if got := w.addrs("a"); got != "10.0.0.1" {
			t.Errorf("after an empty answer: %q", got)
		}
		ns.set("n", "10.0.0.2")
		pass(time.Minute)
		if got := w.addrs("a"); got != "10.0.0.2" {
			t.Errorf("after recovery: %q", got)
		}
		w.set.Close()
		close(w.log.lines)
		var lines []string
		for l := range w.log.lines {
			lines = append(lines, l)
		}
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "name lookup failed host=n error=no such host") || !strings.HasPrefix(lines[1], "name lookup works again") {
			t.Errorf("log %q", lines)
		}
	})
}

// TestNameIsLookedUpWhenItsAddressFails: a service that has moved is found where it is
// now, and one of whose addresses nobody listens on does not press the name server.
func TestNameIsLookedUpWhenItsAddressFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.set("n", "10.0.0.1")
		w := newWorld(t, 1, ns.use)
		w.apply(named("a", "n"))
		fail := func() {
			conn, ep := w.pick("a")
			conn.fail(refused(ep))
			w.run()
		}
		pass(5 * time.Second)
		ns.set("n", "10.0.0.2")
		fail()
		if got := w.addrs("a"); got != "10.0.0.2" {
			t.Errorf("after its address failed: %q", got)
		}
		// It fails again and again, and is nowhere else.
		for range 400 {
			fail()
			pass(100 * time.Millisecond)
		}
		synctest.Wait()
		times := ns.times("n")
		for i, want := range []time.Duration{5, 1, 2, 4, 8, 10, 10} {
			if i+1 >= len(times) {
				t.Fatalf("looked up %d times", len(times))
			}
			if got := times[i+1].Sub(times[i]); got != want*time.Second {
				t.Errorf("lookup %d came after %v, want %d s", i+1, got, want)
			}
		}
		if len(times) > 9 {
			t.Errorf("looked up %d times", len(times))
		}
	})
}

func TestUnknownNameIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		w := newWorld(t, 1, ns.use)
		began := time.Now()
		if w.apply(named("a", "n")); time.Since(began) != 0 {
			t.Error("a failed lookup was waited for")
		}
		ns.set("n", "10.0.0.1")
		pass(firstRetry)
		if got := w.addrs("a"); got != "10.0.0.1" {
			t.Errorf("addresses %q", got)
		}
	})
}

func TestNamesNobodyNeedsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.set("n", "10.0.0.1")
		ns.set("m", "10.0.0.2")
		w := newWorld(t, 1, ns.use)
		w.apply(named("a", "n", "n"), named("b", "n"))
		ch, _ := w.set.Prepare([]*model.Service{named("a", "m"), named("b", "n"), named("c", "m")})
		ch.Discard()
		if len(w.set.names.names) != 1 {
			t.Errorf("after a discarded change: %v", w.set.names.names)
		}
		old := w.apply(named("a", "m"))
		if len(w.set.names.names) != 2 {
			t.Errorf("a surplus cluster lost its name: %v", w.set.names.names)
		}
		w.set.Retire(old...)
		if len(w.set.names.names) != 1 || w.set.names.names["m"] == nil {
			t.Errorf("after Retire: %v", w.set.names.names)
		}
		asked := len(ns.times("n"))
		pass(time.Minute)
		if len(ns.times("n")) != asked {
			t.Error("a forgotten name is still looked up")
		}
	})
}

func TestCloseWakesPrepareAndLookups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.takes = time.Hour
		w := newWorld(t, 1, ns.use)
		began := time.Now()
		done := make(chan *Change)
		go func() {
			ch, _ := w.set.Prepare([]*model.Service{named("a", "n")})
			done <- ch
		}()
		synctest.Wait()
		w.set.Close()
		ch := <-done
		if time.Since(began) != 0 {
			t.Errorf("Close took %v", time.Since(began))
		}
		if ch.Commit(); w.cluster("a") != nil {
			t.Error("the change is in force")
		}
	})
}

func TestSystemLookupKnowsLocalhost(t *testing.T) {
	t.Parallel()
	addrs, ttl, err := systemLookup(t.Context(), "localhost")
	if err != nil || ttl != 0 || len(addrs) == 0 {
		t.Fatalf("%v, %v, %v", addrs, ttl, err)
	}
	for _, a := range addrs {
		if !a.IsLoopback() {
			t.Errorf("localhost is %v", a)
		}
	}
}

// Of a name with many addresses those alone change that have changed, and what
// was made so is what would be made of the new ones.
func TestAddressesOfManyChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.ttl = time.Second
		list := func(from, to int) (all []string) {
			for i := from; i < to; i++ {
				all = append(all, fmt.Sprintf("10.0.%d.%d", i>>8, i&255))
			}
			return all
		}
		ns.set("many", strings.Join(list(0, 700), " "))
		ns.set("few", "10.9.0.1 10.9.0.2")
		w := newWorld(t, 1, ns.use)
		w.apply(named("a", "many", "few"))
		c := w.cluster("a")
		first := c.members[0].ep
		for _, step := range []struct {
			many, few []string
			rebuilt   int
		}{
			{list(0, 701), list(2304, 2306), 1},                   // one comes, and two others
			{slices.Concat(list(350, 701), list(0, 349)), nil, 1}, // one goes, and the order is another
			{list(0, 705), []string{"10.0.0.5"}, 1},               // one is of both names, and two endpoints
			{list(0, 706), []string{"10.9.0.1", "10.9.0.2"}, 1},
			{list(0, 400), nil, 2}, // too many at once
		} {
			ns.set("many", strings.Join(step.many, " "))
			if step.few != nil {
				ns.set("few", strings.Join(step.few, " "))
			}
			pass(2 * time.Second)
			w.run()
			synctest.Wait()
			o := newWorld(t, 1, ns.use)
			o.apply(named("a", "many", "few"))
			if what := stands(c).differs(stands(o.cluster("a"))); what != "" {
				t.Fatalf("%d addresses: %s", len(step.many), what)
			}
			if c.rebuilds != step.rebuilt {
				t.Errorf("%d addresses: everything was made %d times, want %d", len(step.many), c.rebuilds, step.rebuilt)
			}
			o.set.Close()
		}
		if c.members[first.index].ep != first {
			t.Error("an endpoint that stays is another")
		}
	})
}

// TestUnresolvedNamesAreTold, and why there is no endpoint then.
func TestUnresolvedNamesAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.set("good", "10.0.0.1")
		w := newWorld(t, 1, ns.use)
		two := named("a", "bad", "good", "bad")
		two.Endpoints[2].Port = 81
		w.apply(two, named("b", "bad"), &model.Service{Name: "c"}, named("d", "good"))
		tell := func(name string) string {
			synctest.Wait()
			s := ""
			for _, u := range w.stats(name).Unresolved {
				s += fmt.Sprintf("%s %q keeps %d,", u.Host, u.Why, u.Keeps)
			}
			if err := w.cluster(name).Because(observe.NoEndpoint, NoLimit); err != nil {
				s += " because " + err.Error()
			}
			return s
		}
		const bad = `bad "no such host" keeps 0, because no such host`
		for name, want := range map[string]string{
			"a": bad, "b": bad, "c": " because the service's list of endpoints is empty", "d": "",
		} {
			if got := tell(name); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		if err := w.cluster("b").Because(observe.Overloaded, LimitRequests); err != LimitRequests.Err() {
			t.Errorf("of a limit: %v", err)
		}
		if err := w.cluster("b").Because(observe.ConnectRefused, NoLimit); err != nil {
			t.Errorf("of another reason: %v", err)
		}
		// What was known serves on, and is no reason for there being nothing.
		ns.set("good", "")
		pass(mostTTL + time.Second)
		if got, want := tell("d"), `good "no such host" keeps 1,`; got != want {
			t.Errorf("d: %s, want %s", got, want)
		}
		ns.set("bad", "nothing")
		pass(mostTTL + time.Second)
		if got, want := tell("b"), `bad "lookup bad: no addresses" keeps 0, because lookup bad: no addresses`; got != want {
			t.Errorf("b: %s, want %s", got, want)
		}
		ns.set("bad", "10.0.0.2")
		ns.set("good", "10.0.0.1")
		pass(mostTTL + time.Second)
		for _, name := range []string{"a", "b", "d"} {
			if got := tell(name); got != "" {
				t.Errorf("%s: %s when all is well", name, got)
			}
		}
	})
}

// TestLookupThatHasNotEnded is why there is no endpoint.
func TestLookupThatHasNotEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameServer()
		ns.takes = time.Hour
		w := newWorld(t, 1, ns.use)
		w.apply(named("a", "slow"))
		n := w.cluster("a").spec.Load().named[0].n
		n.failed.Store(nil) // as before its first lookup is over
		if err := w.cluster("a").Because(observe.NoEndpoint, NoLimit); err != errLookup {
			t.Errorf("because %v", err)
		}
	})
}
