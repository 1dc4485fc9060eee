package proxy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// retried gives the figures of the tries after the first, of all services.
func (w *world) retried() (made, won map[string]int, refused map[string]int) {
	made, won, refused = map[string]int{}, map[string]int{}, map[string]int{}
	w.set.Stats(func(st *upstream.ServiceStats) {
		for _, c := range upstream.Causes() {
			made[c.String()] += int(st.Retries.Made[c])
			won[c.String()] += int(st.Retries.Won[c])
		}
		for i, why := range upstream.NoRetries() {
			refused[why.String()] += int(st.Retries.Refused[i])
		}
	})
	return made, won, refused
}

// sent counts the requests that were sent to services.
func (w *world) sent() (n int) {
	w.set.Stats(func(st *upstream.ServiceStats) { n += int(st.Picks) })
	return n
}

// TestDefaultRetry: without a word an idempotent request gets one more try, on
// another endpoint.
func TestDefaultRetry(t *testing.T) {
	t.Parallel()
	off := func(r *model.Route) { r.Retry = &model.Retry{} }
	for _, c := range []struct {
		name, method string
		endpoints    int
		rule         func(*model.Route)
		fail         func(*fakeClient)
		cause        string // of the second try; "" is none
	}{
		{"503", "GET", 2, nil, func(c *fakeClient) { c.respond(503, "no", true) }, "status"},
		{"502", "PUT", 2, nil, func(c *fakeClient) { c.respond(502, "no", true) }, "status"},
		{"504, with more to come", "DELETE", 2, nil, func(c *fakeClient) { c.respond(504, "n", false) }, "status"},
		{"500", "GET", 2, nil, func(c *fakeClient) { c.respond(500, "no", true) }, ""},
		{"429", "GET", 2, nil, func(c *fakeClient) { c.respond(429, "no", true) }, ""},
		{"a POST", "POST", 2, nil, func(c *fakeClient) { c.respond(503, "no", true) }, ""},
		{"one endpoint", "GET", 1, nil, func(c *fakeClient) { c.respond(503, "no", true) }, ""},
		{"off", "GET", 2, off, func(c *fakeClient) { c.respond(503, "no", true) }, ""},
		{"a reset", "GET", 2, nil, func(c *fakeClient) { c.fail(dropped) }, "reset"},
		{"a reset of a POST", "POST", 2, nil, func(c *fakeClient) { c.fail(dropped) }, ""},
		{"a reset of one endpoint", "GET", 1, nil, func(c *fakeClient) { c.fail(dropped) }, ""},
		{"a reset, off", "GET", 2, off, func(c *fakeClient) { c.fail(dropped) }, ""},
		{"refused", "GET", 2, nil, func(c *fakeClient) { c.fail(unsent) }, "unconnected"},
		{"a POST refused", "POST", 2, nil, func(c *fakeClient) { c.fail(unsent) }, "unconnected"},
		{"refused, off", "POST", 2, off, func(c *fakeClient) { c.fail(unsent) }, ""},
		{"too slow", "GET", 2, func(r *model.Route) { r.Timeouts.Backend = time.Second }, func(c *fakeClient) { c.w.loops[0].pass(time.Second) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			if c.rule == nil {
				c.rule = func(*model.Route) {}
			}
			w.apply(shop(c.endpoints, c.rule))
			s := w.open(c.method, "/", 4)
			s.request("body", true)
			first := w.busy()
			c.fail(first)
			if c.cause == "status" || c.cause == "reset" {
				if len(w.codec.conns) != 1 {
					t.Fatal("no back-off")
				}
				w.loops[0].pass(2 * model.DefaultBackoff)
			}
			if c.cause == "" {
				if w.loops[0].pass(time.Second); !s.ended || w.sent() != 1 {
					t.Fatalf("%d tries, ended %v", w.sent(), s.ended)
				}
				w.settled(1)
				return
			}
			second := w.busy()
			if second.addr == first.addr || string(second.body) != "body" {
				t.Errorf("the second try went to %v, as the first, or sent %q", second.addr, second.body)
			}
			second.respond(200, "yes", true)
			w.expect(s, 200, "yes", observe.ReasonNone)
			if w.last.Attempts != 2 || w.last.Retried != c.cause || w.last.NotRetried != observe.ReasonNone {
				t.Errorf("record: %d attempts, retried for %q, not for %q", w.last.Attempts, w.last.Retried, w.last.NotRetried)
			}
			if made, won, _ := w.retried(); made[c.cause] != 1 || won[c.cause] != 1 {
				t.Errorf("counted %v, won %v", made, won)
			}
			w.settled(1)
		})
	}
}

// TestDefaultRetryIsOne: what the second try brings is the answer.
func TestDefaultRetryIsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(3))
	s := w.get("/")
	w.busy().respond(503, "one", true)
	w.loops[0].pass(time.Second)
	w.busy().respond(503, "two", true)
	w.loops[0].pass(time.Second)
	w.expect(s, 503, "two", observe.ReasonNone)
	if _, won, _ := w.retried(); won["status"] != 0 {
		t.Error("a retry that brought nothing has won")
	}
	s = w.call("/p.S/M")
	s.request("in", true)
	for range 2 {
		w.busy().answer("", true, "Content-Type", "application/grpc", "grpc-status", "14")
		w.loops[0].pass(time.Second)
	}
	w.expect(s, 200, "", observe.ReasonNone)
	if made, won, _ := w.retried(); made["grpc_status"] != 1 || won["grpc_status"] != 0 {
		t.Errorf("of %d retries of a call that brought nothing %d have won", made["grpc_status"], won["grpc_status"])
	}
	w.settled(2)
}

// TestRetryAfter: who asks to be left alone is, and the client hears of it where
// there is nobody else.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	date := func(in time.Duration) string {
		return time.Unix(1_700_000_000, 0).Add(time.Hour + in).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	for _, c := range []struct {
		after string
		wait  time.Duration // 0: it is not tried again
	}{
		{"30", 0}, {"2", 0}, {"1", time.Second}, {"0", model.DefaultBackoff}, {"soon", 0}, {"-1", 0}, {"", 0},
		{"99999999999999999999", 0}, {"Fri, 31 Dec 9999 23:59:59 GMT", 0}, {date(30 * time.Second), 0}, {date(-time.Hour), model.DefaultBackoff}, {date(time.Second), time.Second},
	} {
		t.Run(c.after, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.apply(shop(1, func(r *model.Route) { r.Retry = &model.Retry{Attempts: 1, Codes: []int{503}} }))
			s := w.get("/")
			w.busy().answerStatus(503, "Retry-After", c.after)
			if c.wait == 0 {
				w.expect(s, 503, "", observe.ReasonNone)
				if !strings.Contains(string(s.head), "Retry-After: "+c.after) || w.last.NotRetried != observe.RetryAfter {
					t.Errorf("the client is told %q, the record %q", s.head, w.last.NotRetried)
				}
				w.settled(1)
				return
			}
			if c.wait >= time.Second {
				if w.loops[0].pass(c.wait - 50*time.Millisecond); w.sent() != 1 {
					t.Fatal("it did not wait")
				}
			}
			w.loops[0].pass(100 * time.Millisecond)
			w.busy().respond(200, "", true)
			w.expect(s, 200, "", observe.ReasonNone)
			w.settled(1)
		})
	}
}

// TestRetryAfterIsOfOne: it holds for who has said so. Another endpoint is asked
// meanwhile, as the rule has it; where there is no other, the first that may be asked
// again is waited for.
func TestRetryAfterIsOfOne(t *testing.T) {
	t.Parallel()
	type try struct {
		after time.Duration // since the request
		again int           // it goes where this try went; -1: where none did
		says  string        // Retry-After; "" none, "ok" is 200
	}
	declared := func(r *model.Route) {
		r.Retry = &model.Retry{Attempts: 10, Codes: []int{503}, Backoff: 20e6, MaxBackoff: 10 * time.Second}
	}
	short := func(r *model.Route) { r.Retry = &model.Retry{Attempts: 10, Codes: []int{503}} }
	for _, c := range []struct {
		name      string
		endpoints int
		rule      func(*model.Route)
		tries     []try
		not       observe.Reason // why there is no more, where the last is no success
	}{
		{"without a word", 2, func(*model.Route) {}, []try{{0, -1, "30"}, {0, -1, "ok"}}, 0},
		{"without a word, all of them", 3, func(*model.Route) {}, []try{{0, -1, "30"}, {0, -1, "30"}}, 0},
		{"what cannot be read", 2, short, []try{{0, -1, "soon"}, {0, -1, "ok"}}, 0},
		{"all, and for too long", 3, short, []try{{0, -1, "30"}, {0, -1, "2"}, {0, -1, "60"}}, observe.RetryAfter},
		{"all: the shortest is waited for", 3, declared, []try{{0, -1, "5"}, {0, -1, "2"}, {0, -1, "8"}, {2 * time.Second, 1, "ok"}}, 0},
		{"all, twice", 2, declared, []try{{0, -1, "5"}, {0, -1, "2"}, {2 * time.Second, 1, "9"}, {5 * time.Second, 0, "ok"}}, 0},
		{"rather one that has said nothing", 2, declared, []try{{0, -1, "5"}, {0, -1, ""}, {0, 1, "ok"}}, 0},
		{"and again, until the other's time is over", 2, short, []try{{0, -1, "1"}, {0, -1, ""}, {0, 1, ""}, {0, 1, "ok"}}, 0},
		{"one alone", 1, declared, []try{{0, -1, "5"}, {5 * time.Second, 0, "ok"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.apply(shop(c.endpoints, c.rule))
			began := w.loops[0].now
			s := w.get("/")
			var went []netip.AddrPort
			for i, next := range c.tries {
				for s.sink.(*exchange).client == nil {
					if s.ended || w.loops[0].now-began > time.Minute {
						t.Fatalf("try %d is not made", i)
					}
					w.loops[0].pass(time.Millisecond)
				}
				k := w.busy()
				if waited := w.loops[0].now - began; waited < next.after || waited > next.after+500*time.Millisecond {
					t.Errorf("try %d is made after %v, want %v", i, waited, next.after)
				}
				if at := slices.Index(went, k.addr); at != next.again {
					t.Fatalf("try %d goes where try %d went, want %d", i, at, next.again)
				}
				if next.again < 0 {
					went = append(went, k.addr)
				}
				switch next.says {
				case "ok":
					k.respond(200, "ok", true)
				case "":
					k.answerStatus(503)
				default:
					k.answerStatus(503, "Retry-After", next.says)
				}
			}
			last := c.tries[len(c.tries)-1]
			if last.says == "ok" {
				w.expect(s, 200, "ok", observe.ReasonNone)
			} else if w.expect(s, 503, "", observe.ReasonNone); w.last.NotRetried != c.not || !strings.Contains(string(s.head), "Retry-After: "+last.says) {
				t.Errorf("not tried again for %q, the client is told %q", w.last.NotRetried, s.head)
			}
			if w.last.Attempts != len(c.tries) {
				t.Errorf("%d attempts", w.last.Attempts)
			}
			w.settled(1)
		})
	}
}

// TestRetryAfterIsKept: also a connection that was closed leads to nobody who has
// asked to be left alone, and what a second try beside the first was told counts.
func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, retries(3, 503)))
	s := w.get("/")
	first := w.busy()
	told := first.addr
	first.answerStatus(503, "Retry-After", "30")
	w.loops[0].pass(time.Second)
	for _, f := range []wire.Failure{stale, dropped, stale} {
		k := w.busy()
		if k.addr == told {
			t.Fatal("who has asked to be left alone is asked")
		}
		k.fail(f)
		w.loops[0].pass(time.Second)
	}
	k := w.busy()
	if k.addr == told {
		t.Fatal("who has asked to be left alone is asked at last")
	}
	k.respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)

	w.apply(shop(3, retries(3, 503), func(r *model.Route) { r.Hedge = &model.Hedge{After: 50 * time.Millisecond} }))
	s = w.get("/")
	first = w.busy()
	w.loops[0].pass(60 * time.Millisecond)
	for _, k := range w.codec.conns {
		if k.x != nil && k != first {
			told = k.addr
			k.answerStatus(503, "Retry-After", "30")
		}
	}
	first.answerStatus(503)
	w.loops[0].pass(time.Second)
	w.busy().answerStatus(503)
	w.loops[0].pass(time.Second)
	if k := w.busy(); k.addr == told {
		t.Error("who has asked a second try to be left alone is asked")
	} else {
		k.respond(200, "ok", true)
	}
	w.expect(s, 200, "ok", observe.ReasonNone)
	w.settled(2)
}

// answerStatus ends the try with a status and fields.
func (c *fakeClient) answerStatus(status int, fields ...string) {
	c.stand()
	h := &c.x.Response
	c.x.Shelf.Lend(h)
	h.Reset()
	h.Status, h.Length, h.Minor = status, -1, 1
	for i := 0; i < len(fields); i += 2 {
		h.AddString(wire.KeyOf(fields[i]), fields[i+1])
	}
	c.begun = true
	c.over(true).OnResponse(nil, true)
}

// TestNoRetryWithoutTime: where the back-off would outlast the request there is
// none, and the client gets what came.
func TestNoRetryWithoutTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2, bounded(time.Second, -1)))
	s := w.get("/")
	w.loops[0].pass(990 * time.Millisecond)
	w.busy().respond(503, "no", true)
	w.expect(s, 503, "no", observe.ReasonNone)
	if _, _, refused := w.retried(); w.last.NotRetried != observe.RetryLate || refused["retry_late"] != 1 {
		t.Errorf("record: %q, counted %v", w.last.NotRetried, refused)
	}
	w.settled(1)
}

// TestNoRetryWithoutBody: of a request whose body is larger than what is kept no
// other try is made, and the record says so; not where no other would have been made.
func TestNoRetryWithoutBody(t *testing.T) {
	t.Parallel()
	answer := func(c *fakeClient) { c.respond(503, "no", true) }
	for _, c := range []struct {
		name, method string
		rule         func(*model.Route)
		fail         func(*fakeClient)
		status       int
		body         string
		why, reason  observe.Reason
	}{
		{"an answer", "POST", retries(2, 503), answer, 503, "no", observe.RetryBody, observe.ReasonNone},
		{"a connection that ends", "POST", retries(2, 503), func(c *fakeClient) { c.fail(dropped) }, 502, "", observe.RetryBody, observe.UpstreamReset},
		{"without a rule", "PUT", func(*model.Route) {}, answer, 503, "no", observe.RetryBody, observe.ReasonNone},
		{"a method that is not repeated", "POST", func(*model.Route) {}, answer, 503, "no", observe.ReasonNone, observe.ReasonNone},
		{"a status that is not repeated", "POST", retries(2, 504), answer, 503, "no", observe.ReasonNone, observe.ReasonNone},
		{"no retries", "PUT", retries(0), answer, 503, "no", observe.ReasonNone, observe.ReasonNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.apply(shop(2, c.rule))
			s := w.open(c.method, "/", model.DefaultRetryBody+1)
			s.request(strings.Repeat("x", model.DefaultRetryBody+1), true)
			c.fail(w.busy())
			w.expect(s, c.status, c.body, c.reason)
			counted := 0
			if c.why != observe.ReasonNone {
				counted = 1
			}
			if _, _, refused := w.retried(); w.last.NotRetried != c.why || refused["retry_body"] != counted {
				t.Errorf("record: %q, counted %v", w.last.NotRetried, refused)
			}
			w.settled(1)
		})
	}
}

// TestRetryBudget: of a service whose requests all fail, no more are tried again
// than the budget allows, whatever the cause is; the answers stay what they were.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		rule   func(*model.Route)
		fail   func(*fakeClient)
		status int
		why    observe.Reason
	}{
		{"status", func(*model.Route) {}, func(c *fakeClient) { c.respond(503, "no", true) }, 503, observe.ReasonNone},
		{"declared", retries(10, 503), func(c *fakeClient) { c.respond(503, "no", true) }, 503, observe.ReasonNone},
		{"reset", func(*model.Route) {}, func(c *fakeClient) { c.fail(dropped) }, 502, observe.UpstreamReset},
		{"refused", func(*model.Route) {}, func(c *fakeClient) { c.fail(unsent) }, 502, observe.ConnectRefused},
		{"stale", func(*model.Route) {}, func(c *fakeClient) { c.fail(stale) }, 502, observe.UpstreamReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			cfg := shop(3, c.rule)
			cfg.Services[0].RetryBudget = &model.RetryBudget{Percent: 20, MinPerSecond: 1, TTL: 10 * time.Second}
			w.apply(cfg)
			const requests = 200
			began, noted := w.loops[0].Now(), 0
			for range requests {
				s := w.get("/")
				for !s.ended {
					for _, k := range w.codec.conns {
						if k.x != nil {
							c.fail(k)
						}
					}
					w.loops[0].pass(time.Millisecond)
				}
				w.expect(s, c.status, "", c.why)
				if w.last.NotRetried == observe.RetryBudget {
					noted++
				}
			}
			made, _, refused := w.retried()
			sum := 0
			for _, n := range made {
				sum += n
			}
			// Ten in ten seconds besides. How long the pauses take is chance, and with
			// tries at ten seconds' distance it may begin anew.
			most := requests/5 + 10*(1+int((w.loops[0].Now()-began)/(10*time.Second)))
			if tries := w.sent(); sum > most || sum < requests/10 || tries != requests+sum || noted == 0 || refused["retry_budget"] != noted {
				t.Errorf("%d tries of %d requests, of which %v, refused %v, noted %d", tries, requests, made, refused, noted)
			}
			w.settled(requests)
		})
	}
}

// TestNobodyWaitsForWhoIsLeft: whose second try fails on an endpoint that is gone by then
// waits for the one that is left no longer than an answer of it would have it wait.
func TestNobodyWaitsForWhoIsLeft(t *testing.T) {
	t.Parallel()
	for after, again := range map[string]bool{"1": true, "3600": false} {
		w := newWorld(t, 1)
		cfg := shop(2, retries(3, 503))
		w.apply(cfg)
		s := w.get("/")
		left := w.busy()
		left.answerStatus(503, "Retry-After", after)
		w.loops[0].pass(200 * time.Millisecond)
		gone := w.busy()
		now := shop(1, retries(3, 503))
		now.Services[0].Endpoints[0] = &model.Endpoint{Host: left.addr.Addr().String(), Port: 80}
		w.apply(now)
		gone.fail(dropped)
		if s.ended == again {
			t.Fatalf("%s s: it is over: %v", after, s.ended)
		}
		if again {
			w.loops[0].pass(2 * time.Second)
			w.busy().respond(200, "yes", true)
			w.expect(s, 200, "yes", observe.ReasonNone)
		} else if w.expect(s, 502, "", observe.UpstreamReset); w.last.NotRetried != observe.RetryAfter {
			t.Errorf("it is not tried again for %q", w.last.NotRetried)
		}
		w.settled(1)
	}
}

// TestClosedConnectionsAreFree: that pooled connections were closed before
// anything was sent does not use up the budget: the service has seen nothing.
func TestClosedConnectionsAreFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := shop(1)
	cfg.Services[0].RetryBudget = &model.RetryBudget{Percent: -1, MinPerSecond: -1}
	w.apply(cfg)
	for i := range 20 {
		s := w.open("POST", "/", 4)
		s.request("body", true)
		w.busy().fail(wire.Failure{Reason: observe.UpstreamReset, Unsent: true, Reused: true})
		w.busy().respond(200, strconv.Itoa(i), true)
		w.expect(s, 200, strconv.Itoa(i), observe.ReasonNone)
	}
	w.settled(20)
}

// TestRefusalsAreNotFree: a service that refuses each request (RST_STREAM
// REFUSED_STREAM, GOAWAY on every new connection) is asked again as often as its
// budget allows, and rather another endpoint is.
func TestRefusalsAreNotFree(t *testing.T) {
	t.Parallel()
	refused := wire.Failure{Reason: observe.UpstreamReset, Unsent: true, Reused: true, Seen: true}
	for endpoints := 1; endpoints <= 2; endpoints++ {
		w := newWorld(t, 1)
		w.apply(shop(endpoints))
		const requests = 1000
		for range requests {
			s := w.open("POST", "/", 4)
			s.request("body", true)
			for s.sink.(*exchange).client != nil {
				w.busy().fail(refused)
			}
			w.expect(s, 502, "", observe.UpstreamReset)
		}
		made, _, _ := w.retried()
		// 20% of them, and 10 a second for 10 s.
		if n := w.sent(); n > requests*12/10+100 || n < requests+100 || made["reset"] != n-requests {
			t.Errorf("%d endpoints were asked %d times for %d requests: %v", endpoints, n, requests, made)
		}
		w.settled(requests)
	}
	w := newWorld(t, 1)
	w.apply(shop(2))
	s := w.open("POST", "/", 4)
	s.request("body", true)
	first := w.busy()
	first.fail(refused)
	if w.busy().addr == first.addr {
		t.Error("the same endpoint is asked once more, and not the other one")
	}
	w.busy().respond(200, "ok", true)
	w.expect(s, 200, "ok", observe.ReasonNone)
	w.settled(1)
}

// TestDefaultRetryOfCalls: a call that was answered by UNAVAILABLE alone is
// tried again, with what the service says of when.
func TestDefaultRetryOfCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fields []string
		again  bool
	}{
		{"unavailable", []string{"grpc-status", "14"}, true},
		{"pushed back a little", []string{"grpc-status", "14", "grpc-retry-pushback-ms", "100"}, true},
		{"pushed back long, by one of two", []string{"grpc-status", "14", "grpc-retry-pushback-ms", "60000"}, true},
		{"pushed back in words", []string{"grpc-status", "14", "grpc-retry-pushback-ms", "soon"}, false},
		{"pushed back for ever", []string{"grpc-status", "14", "grpc-retry-pushback-ms", "-1"}, false},
		{"internal", []string{"grpc-status", "13"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			cfg := shop(2)
			w.apply(cfg)
			s := w.call("/p.S/M")
			s.request("x", true)
			w.busy().answer("", true, append([]string{"Content-Type", "application/grpc"}, c.fields...)...)
			w.loops[0].pass(200 * time.Millisecond)
			if got := w.sent() == 2; got != c.again {
				t.Fatalf("tried again: %v, want %v", got, c.again)
			}
			if c.again {
				w.busy().answer("", true, "Content-Type", "application/grpc", "grpc-status", "0")
				w.expect(s, 200, "", observe.ReasonNone)
			}
			w.settled(1)
		})
	}
}

// TestNobodyWaits: when the client goes, nothing is tried any more, also between
// two tries.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(shop(2))
	s := w.get("/")
	w.busy().respond(503, "no", true)
	s.leave(observe.ClientGone)
	w.loops[0].pass(time.Second)
	if w.sent() != 1 || w.last.Reason != observe.ClientGone {
		t.Errorf("%d tries, %q", w.sent(), w.last.Reason)
	}
	s = w.get("/")
	c := w.busy()
	s.leave(observe.ClientGone)
	if c.canceled != 1 {
		t.Error("the try goes on")
	}
	w.settled(2)
}

// TestDeclaredConditions: a rule that names failures is about those alone.
func TestDeclaredConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method string
		retry        model.Retry
		fail         func(*fakeClient)
		again        bool
	}{
		{"reset, which is meant", "POST", model.Retry{On: []model.RetryOn{model.OnReset}}, func(c *fakeClient) { c.fail(dropped) }, true},
		{"reset, which is not", "GET", model.Retry{On: []model.RetryOn{model.OnTimeout}}, func(c *fakeClient) { c.fail(dropped) }, false},
		{"a status beside a failure", "GET", model.Retry{On: []model.RetryOn{model.OnTimeout, model.OnRetriable4xx}}, func(c *fakeClient) { c.respond(409, "", true) }, true},
		{"statuses alone: failures count too", "GET", model.Retry{On: []model.RetryOn{model.On5xx}}, func(c *fakeClient) { c.fail(dropped) }, true},
		{"5xx", "GET", model.Retry{On: []model.RetryOn{model.On5xx}}, func(c *fakeClient) { c.respond(599, "", true) }, true},
		{"5xx is not 409", "GET", model.Retry{On: []model.RetryOn{model.On5xx}}, func(c *fakeClient) { c.respond(409, "", true) }, false},
		{"refused", "GET", model.Retry{On: []model.RetryOn{model.OnRefused}}, func(c *fakeClient) { c.fail(unsent) }, true},
		{"a method that is not meant", "POST", model.Retry{Methods: []string{"GET"}}, func(c *fakeClient) { c.fail(dropped) }, false},
		{"a method that is", "POST", model.Retry{Methods: []string{"GET", "POST"}}, func(c *fakeClient) { c.fail(dropped) }, true},
		{"a body that is too long", "POST", model.Retry{Body: 3}, func(c *fakeClient) { c.fail(dropped) }, false},
		{"a body that is not", "POST", model.Retry{Body: 4}, func(c *fakeClient) { c.fail(dropped) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			c.retry.Attempts = 1
			w.apply(shop(1, func(r *model.Route) { r.Retry = &c.retry }))
			s := w.open(c.method, "/", 4)
			s.request("body", true)
			c.fail(w.busy())
			w.loops[0].pass(time.Second)
			if got := w.sent() == 2; got != c.again || got == s.ended {
				t.Fatalf("tried again: %v, want %v", got, c.again)
			}
			if c.again {
				w.busy().respond(200, "", true)
				w.expect(s, 200, "", observe.ReasonNone)
			}
			w.settled(1)
		})
	}
}
