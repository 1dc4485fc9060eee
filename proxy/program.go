package proxy

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/route"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// Program is a Snapshot compiled. It does not change; exchanges pin it.
type Program struct {
	Snapshot *model.Snapshot
	// Built is when and how long compiling took.
	Built time.Time
	Took  time.Duration
	// Problems are what only compiling could find.
	Problems []model.Problem

	doors  []*entrance // by slot of port; nil where this Program has none
	rules  []*rule     // of the Snapshot's routes, in their order
	byName map[string]*listener

	// pins count the exchanges of each loop; left counts the loops whose last
	// one has not ended, and then gone is called: see drain.go.
	pins []pin
	left atomic.Int32
	gone func()
}

// pin is one loop's count; only that loop touches it. Padded to a cache line,
// because neighbours belong to other loops.
type pin struct {
	n       int64
	retired bool
	_       [55]byte
}

// address is where a port is bound. TCP and UDP ports of one number are two.
type address struct {
	netip.AddrPort
	udp bool
}

func (a address) compare(b address) int {
	if c := a.AddrPort.Compare(b.AddrPort); c != 0 || a.udp == b.udp {
		return c
	}
	if b.udp {
		return -1
	}
	return 1
}

// alike says whether a port for e can serve o as it is. Where clients are asked
// otherwise it cannot: a connection from before has not been asked, and where
// the new authorities cannot be read nothing may be served as if nobody were.
func (e *entrance) alike(o *entrance) bool {
	return e.protocol == o.protocol && e.secure == o.secure && e.captured() == o.captured() && e.asks() == o.asks()
}

// asks says what is demanded of clients: nothing, to be asked, a certificate.
func (e *entrance) asks() int {
	switch {
	case e.tls == nil || e.tls.ClientAuth == nil:
		return 0
	case e.tls.ClientAuth.Optional:
		return 1
	}
	return 2
}

// ask takes over how noun's clients are asked: the same as those of the others
// of the address whose TLS ends here. Validate sees to it where ports have
// numbers; to serve either by the other's rule would be to ask too little.
func (e *entrance) ask(noun *model.Listener) error {
	var a *wire.ClientAuth
	if n := noun.ClientAuth; n != nil {
		a = &wire.ClientAuth{CA: n.CA, CAFile: n.CAFile, Optional: n.Optional}
	}
	switch was := e.tls.ClientAuth; {
	case !e.secure:
		e.tls.ClientAuth = a
	case (was == nil) != (a == nil) || a != nil && (was.CAFile != a.CAFile || was.Optional != a.Optional || !bytes.Equal(was.CA, a.CA)):
		return fmt.Errorf("listener %s: others of %s ask clients for other certificates", noun.Name, e.addr)
	}
	return nil
}

// entrance is what a Program has behind a port.
type entrance struct {
	addr      address
	protocol  model.Protocol
	secure    bool // the TLS of some listener ends here
	sniff     bool // that of some listener does not
	intro     *introduction
	tls       *wire.ServerTLS
	limited   *model.Listener // the one whose limits are those of the port
	limits    *wire.Limits
	explicit  *wire.Limits // of clients that say where they want to go
	within    *wire.Limits // of connections in a tunnel, which open no tunnels
	maxConns  int
	only2     bool // HTTP/1 is not spoken
	http3     bool // HTTP/3 is, by UDP
	listeners []*listener
	hosts     *route.Hosts[*listener]
}

// listener is a model.Listener compiled.
type listener struct {
	noun   *model.Listener
	scheme string
	rules  []*rule      // of the routes that name it
	table  *route.Table // of their matches
	flawed bool         // some of them could not be compiled
	// flows by the server names they are for; nil where there are requests
	// alone.
	flows  *route.Hosts[*flow]
	meshed // what is the mesh's
}

// rule is a model.Route compiled.
type rule struct {
	noun     *model.Route
	chain    *filter.Chain
	backends []backend
	total    int // of weights
	mirrors  []mirrorTo
	retry    retry
	class    upstream.Class
	hedge    *hedging // nil: there is never a second try beside the first
	session  *persistence
	request  time.Duration // 0 none
	try      time.Duration // 0 none
	idle     time.Duration // that a response may stall; 0 none
	quiet    time.Duration // the same of what is upgraded, and of calls
	stream   time.Duration // that a response may last; 0 none
	shape    *shaping      // nil: nothing waits
	broken   observe.Reason
	leaves   bool               // the mesh, for an external service
	flawed   bool               // a filter could not be compiled
	traffic  []*observe.Traffic // by loop, made at first use
	calls    []*observe.Calls   // likewise; nil where gRPC calls are not counted
	trials   []*observe.Trial   // likewise; nil without a rollout that is under way
	former   []backend          // of that: what gets nothing now, and has served before
}

// backend is a model.Backend compiled.
type backend struct {
	noun    *model.Backend
	cluster *upstream.Cluster // nil: see broken
	broken  observe.Reason    // why there is no cluster
	chain   *filter.Chain     // nil without filters
	mirrors []mirrorTo
	host    string // replaces the request's, "" keeps it
	keys    []hashKey
	traffic []*observe.Traffic
}

// mirrorTo is a model.Mirror compiled.
type mirrorTo struct {
	service string
	cluster *upstream.Cluster
	host    string
	n, of   int
	counts  []*observe.Mirrored // by loop, made at first use
}

// counts gives the traffic of loop, which is made when it is first needed.
func (r *rule) counts(g *observe.Registry, loop int) *observe.Traffic {
	t := r.traffic[loop]
	if t == nil {
		t = g.Traffic(observe.ScopeRoute, r.noun.Name, loop)
		r.traffic[loop] = t
	}
	return t
}

// called counts a finished gRPC call where the route wants that.
func (r *rule) called(g *observe.Registry, loop int, done *observe.Record) {
	if r.calls == nil {
		return
	}
	c := r.calls[loop]
	if c == nil {
		c = g.Calls(r.noun.Name, loop, model.MostMethods)
		r.calls[loop] = c
	}
	c.Done(done.GRPCMethod, done.GRPCStatus)
}

func (b *backend) counts(g *observe.Registry, loop int) *observe.Traffic {
	t := b.traffic[loop]
	if t == nil {
		t = g.Traffic(observe.ScopeService, b.noun.Service, loop)
		b.traffic[loop] = t
	}
	return t
}
