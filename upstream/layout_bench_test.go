package upstream

import (
	"slices"
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
// as two and as one. All of it runs beside the loops: comparing the two
// configurations (Prepare), and what is done with the cluster in hand, at the end
// of which the loops have the new plan: commit-ns.
func BenchmarkUpdate(b *testing.B) {
	for _, by := range []model.Balance{model.LeastRequest, model.RingHash, model.Maglev} {
		for name, change := range map[string]func(*model.Service){
			"comes": func(s *model.Service) {
				s.Endpoints = slices.Insert(s.Endpoints, 4000, model.Endpoint{Host: "10.9.9.9", Port: 80})
			},
			"weight": func(s *model.Service) { s.Endpoints[4000].Weight = 2 },
			"zone":   func(s *model.Service) { s.Endpoints[4000].Place.Zone = "b" },
		} {
			b.Run(string(by)+"/"+name, func(b *testing.B) {
				w := newWorld(b, 2)
				one := ofMany(by)
				for i := range one.Endpoints {
					if one.Endpoints[i].Weight = 1; i < 1000 {
						one.Endpoints[i].Weight, one.Endpoints[i].Place.Zone = 2, "b"
					}
				}
				other := *one
				other.Endpoints = slices.Clone(one.Endpoints)
				change(&other)
				w.apply(one)
				c := w.cluster("a")
				was, committing := c.rebuilds, time.Duration(0)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					s := one
					if i%2 == 0 {
						s = &other
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
				b.ReportMetric(float64(committing.Nanoseconds())/float64(b.N), "commit-ns/op")
				if c.rebuilds != was {
					b.Errorf("everything was made anew %d times", c.rebuilds-was)
				}
			})
		}
	}
}

// BenchmarkPickByKey is a choice among 10,000 endpoints by the key of a request,
// with the hashing of that.
func BenchmarkPickByKey(b *testing.B) {
	for _, by := range []model.Balance{model.RingHash, model.Maglev} {
		for name, factor := range map[string]int{"": 0, "/bounded": 125} {
			b.Run(string(by)+name, func(b *testing.B) {
				w := newWorld(b, 1)
				s := ofMany(by)
				s.HashBalanceFactor = factor
				w.apply(s)
				p, cur := w.cluster("a").plan.Load(), &w.cluster("a").cursors[0]
				now := w.loops[0].Now()
				key := []byte("session-0123456789abcdef")
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					key[8], key[9], key[10] = byte(i), byte(i>>8), byte(i>>16)
					if p.choose(cur, now, &Ask{Hash: HashOf(key), Hashed: true}) == nil {
						b.Fatal("nobody")
					}
				}
			})
		}
	}
}
