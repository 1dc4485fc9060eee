// Package fault makes requests slow, or fail, on purpose.
//
// Whether one is hit is chance, of each kind by itself; one that is answered in
// place of the service is neither delayed nor slow besides. The delay itself is
// the proxy's, and so is passing bodies slowly: the exchange waits before its
// first try, or between two pieces of a body, and no loop does.
package fault

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Counts are how many requests were hit. All loops write them; faults are rare.
type Counts struct{ Delays, Aborts, Slow atomic.Uint64 }

// Family builds faults, which are counted in counts.
func Family(counts *Counts) filter.Family {
	return filter.Family{Name: "fault", Build: func(f *model.Filter) (any, error) { return build(f.Fault, counts) }}
}

type fault struct {
	counts *Counts
	key    wire.Key // of Header
	asked  bool     // key counts

	delay                  time.Duration
	delayed, aborted, slow uint32 // of a million
	status                 int
	grpc                   observe.GRPCCode
	rates                  filter.Slow
}

func build(m *model.Fault, counts *Counts) (any, error) {
	if m == nil || m.Off {
		return nil, nil
	}
	f := &fault{counts: counts, delay: m.Delay, status: m.Status, grpc: observe.GRPCCode(m.GRPC)}
	if m.Delay < 0 || m.Delay > model.MostFaultDelay || m.Status != 0 && (m.Status < 200 || m.Status > 599) || m.GRPC < 0 || m.GRPC > 16 {
		return nil, fmt.Errorf("a delay of %v, status %d or gRPC status %d is out of bounds", m.Delay, m.Status, m.GRPC)
	}
	if min(m.RequestRate, m.ResponseRate) < 0 || max(m.RequestRate, m.ResponseRate) > model.MostRate {
		return nil, fmt.Errorf("rates of %d and %d bytes a second are out of bounds", m.RequestRate, m.ResponseRate)
	}
	share := func(n int) uint32 {
		if n <= 0 || n > model.Million {
			n = model.Million
		}
		return uint32(n)
	}
	if f.delay > 0 {
		f.delayed = share(m.DelayShare)
	}
	if f.status != 0 || f.grpc != 0 {
		f.aborted = share(m.AbortShare)
	}
	if f.rates = (filter.Slow{Request: m.RequestRate, Response: m.ResponseRate}); f.rates != (filter.Slow{}) {
		f.slow = share(m.RateShare)
	}
	if m.Header != "" {
		k, err := filter.EditableField(m.Header)
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		f.key, f.asked = k, true
	}
	return f, nil
}

// OnRequest answers, or has the exchange wait, be slow, both or neither.
func (f *fault) OnRequest(x *filter.Exchange) filter.Verdict {
	if f.asked {
		if _, ok := x.Request.Get(f.key); !ok {
			return filter.Continue
		}
	}
	if hit(f.aborted) && (f.status != 0 || x.RPC != wire.NoRPC) {
		f.counts.Aborts.Add(1)
		return f.abort(x)
	}
	if hit(f.delayed) {
		f.counts.Delays.Add(1)
		x.Delay = f.delay
	}
	if hit(f.slow) {
		f.counts.Slow.Add(1)
		x.Slow = &f.rates
	}
	return filter.Continue
}

// abort answers in place of the service, and says that it does.
func (f *fault) abort(x *filter.Exchange) filter.Verdict {
	if f.grpc != 0 && x.RPC != wire.NoRPC {
		v := x.Reply(observe.FaultInjected, 200, nil)
		wire.SetGRPCStatus(&x.Response, x.RPC, f.grpc, "fault injected")
		x.Response.AddString(wire.KeyReason, observe.FaultInjected.String())
		return v
	}
	v := x.Reply(observe.FaultInjected, f.status, nil)
	x.Response.AddString(wire.KeyReason, observe.FaultInjected.String())
	return v
}

// hit throws a die: n of a million.
func hit(n uint32) bool {
	return n == model.Million || n > 0 && rand.Uint32N(model.Million) < n
}
