package proxy

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// play lets bytes decide what happens next, among up to four requests at once
// on two routes. The fakes complain when a contract is broken; at the end
// everybody leaves and nothing may be left.
func play(t testing.TB, script []byte) {
	w := newWorld(t, 1)
	config := func(endpoints int) *model.Config {
		c := shop(endpoints, retries(2, 503), mirrored, filters(does(1, "mark")))
		c.Routes[0].Matches = []model.Match{{PathKind: model.PathPrefix, Path: "/retry"}}
		c.Routes[0].Timeouts = model.Timeouts{Request: 3 * time.Second, Backend: time.Second}
		c.Routes[0].Backends[0].Filters = []model.Filter{does(2, "mark")}
		c.Routes = append(c.Routes, &model.Route{
			Name: "plain", Parents: []string{"l"}, Backends: []model.Backend{{Service: "a", Weight: 1}},
		}, &model.Route{
			Name: "panics", Parents: []string{"l"}, Backends: []model.Backend{{Service: "a", Weight: 1}},
			Matches: []model.Match{{PathKind: model.PathPrefix, Path: "/panic"}},
			Filters: []model.Filter{does(0, "panic-back")},
		}, &model.Route{
			Name: "shaped", Parents: []string{"l"}, Backends: []model.Backend{{Service: "a", Weight: 1}},
			Matches:  []model.Match{{PathKind: model.PathPrefix, Path: "/shaped"}},
			Timeouts: model.Timeouts{Idle: time.Second, Stream: 3 * time.Second},
			Shape:    &model.Shape{Requests: 5, Burst: 2, Queue: 3, Upload: 20, Download: 20, TotalDownload: 30},
			Retry:    &model.Retry{Attempts: 1, Codes: []int{503}},
		}, &model.Route{
			Name: "rolled", Parents: []string{"l"},
			Matches:  []model.Match{{PathKind: model.PathPrefix, Path: "/rolled"}},
			Rollout:  &model.Rollout{Name: "rolled", To: "a", Run: "run", Live: true},
			Backends: model.Weigh([]model.Backend{{Service: "m", Weight: 1}, {Service: "a"}}, "a", []int{model.Million, model.Million * 3 / 4}[endpoints%2]),
			Retry:    &model.Retry{Attempts: 3, Codes: []int{503}, MaxBackoff: 3 * time.Second},
			Hedge:    &model.Hedge{After: 100 * time.Millisecond},
		})
		return c
	}
	w.apply(config(2))
	var streams []*fakeStream
	began := 0
	next := func(n int) int {
		if len(script) == 0 {
			return 0
		}
		b := int(script[0])
		script = script[1:]
		return b % n
	}
	stream := func(ready func(*fakeStream) bool) *fakeStream {
		var all []*fakeStream
		for _, s := range streams {
			if !s.ended && !s.over && ready(s) {
				all = append(all, s)
			}
		}
		if len(all) == 0 {
			return nil
		}
		return all[next(len(all))]
	}
	try := func(ready func(*fakeClient) bool) *fakeClient {
		var all []*fakeClient
		for _, c := range w.codec.conns {
			if c.x != nil && ready(c) {
				all = append(all, c)
			}
		}
		if len(all) == 0 {
			return nil
		}
		return all[next(len(all))]
	}
	sending := func(s *fakeStream) bool { return !s.requested && !s.paused }
	waiting := func(c *fakeClient) bool { return !c.begun }
	reading := func(c *fakeClient) bool { return c.begun && !c.paused }
	for len(script) > 0 {
		switch next(19) {
		case 0, 1, 2: // a request
			active := 0
			for _, s := range streams {
				if !s.ended && !s.over {
					active++
				}
			}
			if active == 4 {
				continue
			}
			method := []string{"GET", "POST", "PUT", "HEAD"}[next(4)]
			path := []string{"/retry", "/plain", "/panic", "/retry/..", "/..", "/shaped", "/shaped", "/rolled", "/rolled"}[next(9)]
			began++
			if method == "GET" && next(4) == 0 {
				s := w.open(method, path, 0, "Upgrade", "x")
				streams = append(streams, s)
				s.request("", true)
				continue
			}
			s := w.open(method, path, -1)
			streams = append(streams, s)
			s.request("body"[:next(5)], next(2) == 0)
		case 3, 4: // more of it
			if s := stream(sending); s != nil {
				body := []byte("more"[:next(5)])
				if next(8) == 0 {
					body = make([]byte, keepReplay)
				}
				s.send(string(body), next(3) == 0)
			}
		case 5:
			if s := stream(func(s *fakeStream) bool { return sending(s) && s.status != 101 }); s != nil {
				s.requested = true
				s.sink.OnRequestTrailers(&wire.Head{})
			}
		case 6:
			if s := stream(func(*fakeStream) bool { return true }); s != nil {
				s.leave(observe.ClientGone)
			}
		case 7:
			if s := stream(func(s *fakeStream) bool { return !s.requested && s.status == 0 }); s != nil {
				s.over = true
				w.proxy.ports[0].doors[0].Refused(s.x, s.sink, observe.BadChunk)
			}
		case 8:
			if s := stream(func(*fakeStream) bool { return true }); s != nil {
				s.buffered = []int{0, highWater + 1}[next(2)]
				if s.buffered == 0 && s.status != 0 {
					s.sink.OnResponseDrained()
				}
			}
		case 9, 10, 11: // a response
			if c := try(waiting); c != nil {
				status := []int{200, 200, 503, 404}[next(4)]
				if c.x.Upgrade != nil && c.sent && next(2) == 0 {
					c.sent = false
					c.respond(101, "", false)
					continue
				}
				if status == 503 && next(2) == 0 {
					c.answerStatus(503, "Retry-After", []string{"1", "2", "9"}[next(3)])
					continue
				}
				c.respond(status, "answer"[:next(7)], next(2) == 0)
			}
		case 12, 13:
			if c := try(reading); c != nil {
				if next(4) == 0 && c.x.Response.Status != 101 {
					c.over(true).OnResponseTrailers(&wire.Head{})
					continue
				}
				c.data("more"[:next(5)], next(2) == 0)
			}
		case 14:
			if c := try(func(*fakeClient) bool { return true }); c != nil {
				f := []wire.Failure{dropped, unsent, stale}[next(3)]
				if c.begun {
					f = dropped
				}
				c.fail(f)
			}
		case 15:
			if c := try(func(*fakeClient) bool { return true }); c != nil {
				c.buffered = []int{0, 1, highWater + 1}[next(3)]
				if c.buffered == 0 {
					c.sink.OnRequestDrained()
				}
			}
		case 16:
			if c := try(waiting); c != nil {
				c.sink.OnInform(&wire.Head{Status: 103})
			}
		case 17:
			w.loops[0].pass([]time.Duration{10, 150, 1200, 4000}[next(4)] * time.Millisecond)
		case 18:
			w.apply(config(next(4)))
		}
		w.loops[0].run()
	}
	for _, s := range streams {
		if !s.ended && !s.over {
			s.leave(observe.ClientGone)
		}
		if s.ended && s.status == 0 && s.reset == observe.ReasonNone {
			t.Error("a stream ended without a word")
		}
	}
	w.loops[0].pass(2 * mirrorTime)
	w.settled(began)
	w.checkTraffic(began)
}

// checkTraffic checks that every count that was begun is done.
func (w *world) checkTraffic(n int) {
	w.t.Helper()
	total := uint64(0)
	for _, name := range []string{"", "r", "plain", "panics", "shaped", "rolled"} {
		var sum observe.Totals
		w.proxy.opt.Registry.Traffic(observe.ScopeRoute, name, 0).Read(&sum)
		if sum.Active != 0 {
			w.t.Errorf("route %q has %d active", name, sum.Active)
		}
		total += sum.Requests()
	}
	if total != uint64(n) {
		w.t.Errorf("%d requests were counted, of %d", total, n)
	}
	for _, name := range []string{"a", "m"} {
		if sum := w.proxy.opt.Registry.Totals(observe.ScopeService, name); sum.Active != 0 {
			w.t.Errorf("service %s has %d active", name, sum.Active)
		}
	}
	for _, trial := range w.proxy.opt.Registry.Trials() {
		for arm, c := range trial.Arms {
			if c.Begun != c.Headed || c.Requests > c.Begun {
				w.t.Errorf("of side %d %d have begun, %d are not waited for, %d have ended", arm, c.Begun, c.Headed, c.Requests)
			}
		}
	}
}

func TestRandomEventsKeepTheContract(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		script := make([]byte, 50+rnd.IntN(400))
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, script) })
		if !ok {
			return
		}
	}
}

func FuzzExchange(f *testing.F) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		script := make([]byte, 200)
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) { play(t, script[:min(len(script), 2000)]) })
}
