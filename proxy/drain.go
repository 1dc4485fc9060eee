package proxy

import (
	"context"
	"time"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// pinned counts an exchange that begins on a Program; loop-owned.
func (prog *Program) pinned(loop int) { prog.pins[loop].n++ }

// unpinned ends what pinned began.
func (prog *Program) unpinned(loop int) {
	pin := &prog.pins[loop]
	pin.n--
	if pin.n == 0 && pin.retired {
		prog.leave()
	}
}

// leave is called once for each loop, after its last exchange.
func (prog *Program) leave() {
	if prog.left.Add(-1) == 0 {
		go prog.gone()
	}
}

// retirement is of clusters that a Program was the last to have.
type retirement struct {
	over    bool // the Program's last exchange ended
	surplus []*upstream.Cluster
}

// retire closes the clusters that prog's successor has no use for, once no
// exchange runs on prog, nor on a Program before it, which may have had them
// too. It is called with mu locked.
func (p *Proxy) retire(prog *Program, surplus []*upstream.Cluster) {
	mine := &retirement{surplus: surplus}
	p.retiring = append(p.retiring, mine)
	prog.gone = func() { p.retired(mine) }
	prog.left.Store(int32(len(p.workers)))
	for _, w := range p.workers {
		w.loop.Post(func() {
			pin := &prog.pins[w.index]
			pin.retired = true
			if pin.n == 0 {
				prog.leave()
			}
		})
	}
}

// retired goes through those that are over, in order.
func (p *Proxy) retired(r *retirement) {
	p.mu.Lock()
	r.over = true
	var surplus []*upstream.Cluster
	for len(p.retiring) > 0 && p.retiring[0].over {
		surplus = append(surplus, p.retiring[0].surplus...)
		p.retiring = p.retiring[1:]
	}
	p.mu.Unlock()
	p.opt.Clusters.Retire(surplus...)
}

// quiet is how long a draining proxy waits after its last exchange, so that a
// client that was just about to use its connection again is answered (with
// Connection: close) rather than cut off.
const quiet = 500 * time.Millisecond

// Drain ends the proxy politely: it stops listening once what the kernel has
// queued is accepted, marks each response as the last of its connection, and
// returns when no exchange has run for a while, or with ctx's error when ctx
// ends before and what still runs was cut off. Connections are still open then:
// close the driver.
func (p *Proxy) Drain(ctx context.Context) error {
	p.mu.Lock()
	p.draining.Store(true)
	ports := p.ports
	p.ports = nil
	p.mu.Unlock()
	for _, port := range ports {
		// Datagrams are served to the end: their clients would not be told, and a
		// successor on the same address is given its share.
		if port != nil && !port.addr.udp {
			port.close()
		}
	}
	p.tellDraining()
	defer p.lookups.end()
	defer p.attests.end()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	still := time.Now()
	seen := p.served()
	for {
		if n := p.served(); p.Active() > 0 || n != seen {
			still, seen = time.Now(), n
		}
		if time.Since(still) >= quiet {
			return nil
		}
		select {
		case <-ctx.Done():
			p.cut()
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// tellDraining has connections told that they shall end.
func (p *Proxy) tellDraining() {
	codec, ok := p.opt.HTTP2.(wire.Drainer)
	if !ok {
		return
	}
	for _, w := range p.workers {
		w.loop.Post(func() { codec.Drain(w.loop, nil) })
	}
}

// parting is how long the last words of those that were cut off have to get
// away.
const parting = 100 * time.Millisecond

// cut ends what still runs, so that each client is told in its own language.
func (p *Proxy) cut() {
	if p.Active() == 0 {
		return
	}
	for _, w := range p.workers {
		w.loop.Post(w.cut)
	}
	<-time.After(parting)
}

func (w *worker) cut() {
	for x := w.running; x != nil; {
		older := x.older // x is lent again, or gone
		if x.live {
			x.cut(observe.Draining)
		}
		x = older
	}
}

// cut ends the exchange because the proxy ends, or policies do not allow it any
// more. A stream of events has no end of its own: wherever it ends, it is whole,
// and its client comes back.
func (x *exchange) cut(why observe.Reason) {
	defer x.rescue()
	if x.answered && x.out == nil && x.Response.Length < 0 && tellsEvents(&x.Response) {
		x.cancel()
		x.Why = why
		x.stream.Data(nil, true)
		x.finish()
		return
	}
	x.fail(why)
}

// tellsEvents says whether a response is a stream of events, as HTML defines
// them.
func tellsEvents(h *wire.Head) bool {
	const events = "text/event-stream"
	v, _ := h.Get(wire.KeyContentType)
	return len(v) >= len(events) && wire.EqualFold(v[:len(events)], events)
}

// served is how many exchanges have begun.
func (p *Proxy) served() uint64 {
	n := uint64(0)
	for _, w := range p.workers {
		n += w.begun.Load()
	}
	return n
}
