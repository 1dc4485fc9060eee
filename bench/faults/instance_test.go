package main

import (
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// serveHere serves an instance until the test ends.
func serveHere(t *testing.T, s *instance) netip.AddrPort {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return netip.MustParseAddrPort(srv.Listener.Addr().String())
}

// outcomes asks n times, one after another, and counts the reasons of failures.
func outcomes(c *crowd, n int, request string) map[string]int {
	got := map[string]int{}
	for range n {
		why := ""
		if _, err := c.ask(request, time.Since(c.start)); err != nil {
			why = reason(err)
		}
		got[why]++
	}
	return got
}

// TestClientsSeeEveryFault, and name it.
func TestClientsSeeEveryFault(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]map[string]int{
		doWell:  {"": 4},
		doErr:   {"": 2, "status 500": 1, "status 503": 1},
		doReset: {"reset in the body": 4},
	} {
		s := newInstance("1")
		s.state.Store(state)
		c := &crowd{addr: serveHere(t, s), patience: 10 * time.Second, start: time.Now()}
		got := outcomes(c, 4, "GET /work")
		c.done()
		for why, n := range want {
			if got[why] != n {
				t.Errorf("%s: %v, want %v", state, got, want)
				break
			}
		}
	}
}

// TestClientsLeave when their patience ends.
func TestClientsLeave(t *testing.T) {
	t.Parallel()
	s := newInstance("1")
	s.state.Store(doDrip)
	c := &crowd{addr: serveHere(t, s), patience: 50 * time.Millisecond, start: time.Now()}
	defer c.done()
	if got := outcomes(c, 1, "GET /work"); got["no end in time"] != 1 {
		t.Error(got)
	}
}

// TestInstanceSaysWhatItWasGiven: POSTs, by name.
func TestInstanceSaysWhatItWasGiven(t *testing.T) {
	t.Parallel()
	s := newInstance("1")
	c := &crowd{addr: serveHere(t, s), patience: 10 * time.Second, start: time.Now(), id: "test"}
	c.wait.Go(func() { c.one(everyPost, 0) })
	c.wait.Go(func() { c.one(everyPost+1, 0) })
	all := c.done()
	if len(all) != 2 || all[0].failed != "" || all[1].failed != "" || all[0].post == all[1].post {
		t.Fatalf("%+v", all)
	}
	if id := <-s.out; id != "test-10" || len(s.out) != 0 {
		t.Errorf("it says %q, and %d more", id, len(s.out))
	}
}
