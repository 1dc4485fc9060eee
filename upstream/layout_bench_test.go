package upstream

import (
	"context"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

// BenchmarkReplan is one of 10,000 endpoints whose health changes.
func BenchmarkReplan(b *testing.B) {
	for _, by := range []model.Balance{model.RoundRobin, model.LeastRequest, model.RingHash} {
		b.Run(string(by), func(b *testing.B) {
			w := newWorld(b, 2)
			w.apply(ofMany(by))
			c := w.cluster("a")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				ep := c.members[i*7919%len(c.members)].ep
				c.mu.Lock()
				ep.sick.Store(!ep.sick.Load())
				c.changed(ep)
				c.mu.Unlock()
				if i++; i%2 == 0 {
					i += 2
				}
			}
		})
	}
}

// ofMany is a service of 10,000 endpoints.
func ofMany(by model.Balance) *model.Service {
	s := service("a", 10_000)
	if s.Balance = by; by.Hashes() {
		s.Hash = []model.HashKey{{Kind: model.HashSource}}
	}
	return s
}

// BenchmarkUpdate is one of 10,000 endpoints that comes and goes, or is as heavy
// as two and as one, or in another zone. All of it runs beside the loops: comparing
// the two configurations (Prepare), and what is done with the cluster in hand, at
// the end of which the loops have the new plan (Commit). Who hands on a list hands
// on what has not changed; /anew is where each endpoint was written anew.
func BenchmarkUpdate(b *testing.B) {
	for _, by := range []model.Balance{model.LeastRequest, model.RingHash, model.Maglev, "subset"} {
		for name, change := range map[string]func(*model.Service){
			"comes": func(s *model.Service) {
				s.Endpoints = slices.Insert(s.Endpoints, 4000, &model.Endpoint{Host: "10.9.9.9", Port: 80, Place: s.Endpoints[4000].Place})
			},
			"weight": func(s *model.Service) {
				another(s.Endpoints, 4000, func(e *model.Endpoint) { e.Weight = 2 })
			},
			"zone": func(s *model.Service) {
				another(s.Endpoints, 4000, func(e *model.Endpoint) { e.Place.Zone = "b" })
			},
			"standby": func(s *model.Service) {
				another(s.Endpoints, 4000, func(e *model.Endpoint) { e.Standby = true })
			},
			"two": func(s *model.Service) {
				another(s.Endpoints, 10, func(e *model.Endpoint) { e.Weight = 3 })
				s.Endpoints = slices.Delete(s.Endpoints, 9000, 9001)
			},
			"anew": func(s *model.Service) {
				for i := range s.Endpoints {
					another(s.Endpoints, i, func(*model.Endpoint) {})
				}
				s.Endpoints[4000].Weight = 2
			},
		} {
			b.Run(string(by)+"/"+name, func(b *testing.B) {
				w := newWorld(b, 2, placedAt("eu", "a"))
				one := ofMany(by)
				if by == "subset" {
					one.Balance, one.SubsetSize = "", 1000
				}
				for i, e := range one.Endpoints {
					e.Weight, e.Place.Region, e.Place.Zone = 1, "eu", "a"
					if i < 3000 {
						e.Weight, e.Place.Zone = 2, "b"
					}
				}
				other := *one
				other.Endpoints = slices.Clone(one.Endpoints)
				change(&other)
				inTurn(b, w, one, &other)
			})
		}
	}
}

// cpu has b tell the processor's time of its goroutine, which is what an operation
// takes on a machine that does other things too. The end is to be called.
func cpu(b *testing.B) (end func()) {
	runtime.LockOSThread()
	began := threadTime(b)
	return func() {
		b.ReportMetric(float64(threadTime(b)-began)/float64(b.N), "cpu-ns/op")
		runtime.UnlockOSThread()
	}
}

func threadTime(b *testing.B) int64 {
	const ofThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(ofThread, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// inTurn has one and the other in force in turn.
func inTurn(b *testing.B, w *world, one, other *model.Service) {
	w.apply(one)
	c := w.cluster("a")
	was, committing := c.rebuilds, time.Duration(0)
	b.ReportAllocs()
	end := cpu(b)
	for i := 0; b.Loop(); i++ {
		s := one
		if i%2 == 0 {
			s = other
		}
		ch, err := w.set.Prepare([]*model.Service{s})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		ch.Commit()
		committing += time.Since(began)
		w.run()
	}
	end()
	b.ReportMetric(float64(committing.Nanoseconds())/float64(b.N), "commit-ns/op")
	if c.rebuilds != was {
		b.Errorf("everything was made anew %d times", c.rebuilds-was)
	}
}

// BenchmarkAnswer is the answer of DNS for one of 10,000 endpoints that are names,
// and for one that has as many addresses as an answer can have (64 KiB).
func BenchmarkAnswer(b *testing.B) {
	for name, many := range map[string]bool{"one-of-10000-names": false, "one-of-4000-addresses": true} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, 2, func(e *Env) {
				e.Lookup = func(_ context.Context, host string) ([]netip.Addr, time.Duration, error) {
					n, err := strconv.Atoi(host[1:])
					return []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})}, time.Hour, err
				}
			})
			s := service("a", 0)
			for i := range 10_000 {
				if s.Endpoints = append(s.Endpoints, &model.Endpoint{Host: "h" + strconv.Itoa(i), Port: 80}); many {
					break
				}
			}
			w.apply(s)
			c := w.cluster("a")
			n := c.spec.Load().named[len(s.Endpoints)/2].n
			for _, x := range c.spec.Load().named {
				<-x.n.tried
			}
			one := slices.Clone(n.addresses())
			for i := range 4000 {
				if one = append(one, netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})); !many {
					break
				}
			}
			other := slices.Clone(one)
			other[len(other)/2] = netip.AddrFrom4([4]byte{10, 3, 1, 1})
			n.learn(one)
			c.addressesChanged(n)
			was := c.rebuilds
			b.ReportAllocs()
			end := cpu(b)
			for i := 0; b.Loop(); i++ {
				if answer := [][]netip.Addr{other, one}[i%2]; !n.learn(answer) {
					b.Fatal("the same")
				}
				c.addressesChanged(n)
				w.run()
			}
			end()
			if c.rebuilds != was {
				b.Errorf("everything was made anew %d times", c.rebuilds-was)
			}
		})
	}
}

// BenchmarkPickByKey is a choice among 10,000 endpoints by the key of a request,
// with the hashing of that: where nothing bounds what an endpoint gets, where that
// is bounded and nothing runs, and where twice as many requests run as there are
// endpoints, a quarter of them of one key, so that many have what they may.
func BenchmarkPickByKey(b *testing.B) {
	for _, by := range []model.Balance{model.RingHash, model.Maglev} {
		for _, c := range []struct {
			name            string
			factor, running int
		}{{"", 0, 0}, {"/bounded", 125, 0}, {"/bounded/busy", 125, 20_000}} {
			b.Run(string(by)+c.name, func(b *testing.B) {
				w := newWorld(b, 1)
				s := ofMany(by)
				s.HashBalanceFactor = c.factor
				w.apply(s)
				cluster, l := w.cluster("a"), w.loops[0]
				key := []byte("session-0123456789abcdef")
				next := func(i int) *Ask {
					key[8], key[9], key[10] = byte(i), byte(i>>8), byte(i>>16)
					return &Ask{Hash: HashOf(key), Hashed: true}
				}
				for i := range c.running {
					a := next(i * 61)
					if i%4 == 0 {
						a = next(0)
					}
					conn, _, _ := cluster.Pick(l, a)
					conn.Send(nil, nil, nil, true)
				}
				p, cur, now := cluster.plan.Load(), &cluster.cursors[0], l.Now()
				b.ReportAllocs()
				end := cpu(b)
				for i := 0; b.Loop(); i++ {
					if p.choose(cur, now, next(i)) == nil {
						b.Fatal("nobody")
					}
				}
				end()
			})
		}
	}
}
