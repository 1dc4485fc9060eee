package upstream

import (
	"testing"

	"github.com/naru-mesh/naru/model"
)

// BenchmarkReplan is one of 10,000 endpoints whose health changes.
func BenchmarkReplan(b *testing.B) {
	for _, bench := range []struct {
		name    string
		balance model.Balance
	}{{"round-robin", model.RoundRobin}, {"least-request", model.LeastRequest}} {
		b.Run(bench.name, func(b *testing.B) {
			w := newWorld(b, 2)
			s := service("a", 10_000)
			s.Balance = bench.balance
			w.apply(s)
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
