package link

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// ProxyStatus is one proxy as this replica sees it.
type ProxyStatus struct {
	Node    string
	Gateway bool
	// Version is of naru; Address is the proxy's mesh listener; From is the
	// address that its stream comes from.
	Version, Address, From string
	Since                  time.Time
	Heard                  time.Time
	// Silent is for how long it has not been heard, 0 where it may yet say its
	// next heartbeat. What is said of it here was so before.
	Silent time.Duration
	// System is the Version of the control plane's Snapshot that it has;
	// Applied is that of its own, of its share.
	System, Applied model.Version
	// Lag is for how long it has not had everything; 0: it has.
	Lag time.Duration
	// Refusals are what it did not take, sorted by name; of these it has the
	// one before. At most 100.
	Refusals []Refusal
	// Denied are its workloads that were not registered because it may not have
	// them, one an account, sorted. At most 100.
	Denied []Denial
	// Certificate is when the node's own certificate on this stream ends;
	// Certificates are those of its workloads, as it reports them.
	Certificate  time.Time
	Certificates []CertificateState
	// Skew is how far the clock of this control plane is ahead of the proxy's, as
	// the proxy has measured; 0: not yet.
	Skew time.Duration
	// Bundles says whether it has been sent the newest bundles and has
	// acknowledged them: an authority waits for that before it signs by a new
	// root.
	Bundles bool
}

// Denial is a workload that a node may not have.
type Denial struct {
	Account string // namespace/account
	Why     string
	At      time.Time // the last time
}

// Counts is what the proxies that are connected to this replica have counted, by
// the names of their nodes (ClientOptions.Counts). Nobody may write to it.
func (s *Server) Counts() map[string][]byte {
	s.mu.Lock()
	list := make([]*session, 0, len(s.sessions))
	for _, x := range s.sessions {
		list = append(list, x)
	}
	s.mu.Unlock()
	all := map[string][]byte{}
	for _, x := range list {
		x.mu.Lock()
		if len(x.counts) > 0 {
			all[x.node] = x.counts
		}
		x.mu.Unlock()
	}
	return all
}

// Status lists the proxies that are connected to this replica, by name.
func (s *Server) Status() []ProxyStatus {
	s.mu.Lock()
	list := make([]*session, 0, len(s.sessions))
	for _, x := range s.sessions {
		list = append(list, x)
	}
	s.mu.Unlock()
	now := s.options.Now()
	seq, _, _ := s.catalog.state()
	bundles := s.bundles.Load()
	out := make([]ProxyStatus, 0, len(list))
	for _, x := range list {
		x.mu.Lock()
		p := ProxyStatus{
			Node: x.node, Gateway: x.view.gateway, Version: x.hello.Version, Address: x.hello.Address, From: x.who.address,
			Since: x.since, Heard: x.heard, System: x.system, Applied: model.Version(x.applied),
			Certificate: x.who.leaf.NotAfter, Certificates: x.certificates,
			Skew:    x.skew,
			Silent:  s.silence(x.heard, now),
			Bundles: x.acked == x.nonce && x.bundles == bundles.wire.Sum,
		}
		switch {
		case !x.behind.IsZero():
			p.Lag = max(now.Sub(x.behind), 1)
		case x.seq != seq:
			p.Lag = 1 // its writer has not looked yet
		}
		for _, r := range x.refusals {
			p.Refusals = append(p.Refusals, r)
		}
		for _, name := range slices.Sorted(maps.Keys(x.denied)) {
			if d := x.denied[name]; now.Sub(d.At) < deniedFor {
				p.Denied = append(p.Denied, d)
			}
		}
		x.mu.Unlock()
		slices.SortFunc(p.Refusals, func(a, b Refusal) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
		})
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b ProxyStatus) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// silence is for how long a proxy that was heard last at a time is silent.
func (s *Server) silence(heard, now time.Time) time.Duration {
	if d := now.Sub(heard); d > s.options.Heartbeat*3/2 {
		return d
	}
	return 0
}

// mostSkew is by how much a proxy's clock may differ from ours before it is worth
// a word: certificates are dated back by more, and tokens are checked with as
// much.
const mostSkew = identity.Leeway / 2

// skewed says how a proxy's clock is that ours is ahead of by skew; "" where it
// does not matter.
func skewed(skew time.Duration) string {
	switch {
	case skew > mostSkew:
		return skew.Round(time.Second).String() + " behind ours"
	case skew < -mostSkew:
		return (-skew).Round(time.Second).String() + " ahead of ours"
	}
	return ""
}

func clockOf(node string) string { return "the clock of node " + node + " is " }

// Problems are the clocks of proxies of this replica that are wrong, and the
// refusals of all of them as Problems of the users' objects, one a resource and
// message, with how many refuse it.
func (s *Server) Problems() []model.Problem {
	type key struct {
		name    Name
		message string
	}
	seen := map[key]*model.Problem{}
	nodes := map[key]int{}
	var order []key
	var out []model.Problem
	if why := s.Limited(); why != "" {
		out = append(out, model.Problem{Severity: model.Broken, Code: "store-unavailable", Message: why,
			Hint: "proxies go on with what they have; nobody can join, and nothing can be signed or registered until it is back"})
	}
	for _, p := range s.Status() {
		if said := skewed(p.Skew); said != "" {
			out = append(out, model.Problem{Severity: model.Doubtful, Code: "clock-skew", Message: clockOf(p.Node) + said,
				Hint: "set it, for example by NTP: tokens may be refused there, and certificates from 5 minutes on"})
		}
		for _, r := range p.Refusals {
			k := key{Name{r.Kind, r.Name}, r.Message}
			if nodes[k]++; nodes[k] > 1 {
				continue
			}
			origin := r.Origin
			if r.Field != "" {
				origin.Field = cmp.Or(origin.Field+"."+r.Field, r.Field)
				if r.Origin.Field == "" {
					origin.Field = r.Field
				}
			}
			order = append(order, k)
			seen[k] = &model.Problem{Origin: origin, Severity: model.Broken, Code: "refused-by-proxy", Message: "proxy " + p.Node + " refuses " + k.name.String() + ": " + r.Message,
				Hint: "it goes on with what it had; is its naru older than the control plane's?"}
		}
	}
	for _, k := range order {
		out = append(out, *seen[k])
	}
	return out
}

// Metrics adds the figures of the server to a Registry. Labels are bounded: no
// proxy has a series of its own.
func (s *Server) Metrics(g *observe.Registry) {
	count := func(name, help string, read func() uint64) {
		g.Func(name, help, observe.KindCounter, nil, func(emit func(float64, ...string)) { emit(float64(read())) })
	}
	g.Func("naru_link_proxies", "Proxies that are connected to this control plane, by how they are: current, behind, refusing.", observe.KindGauge, []string{"state"}, func(emit func(float64, ...string)) {
		var current, behind, refusing float64
		for _, p := range s.Status() {
			switch {
			case len(p.Refusals) > 0:
				refusing++
			case p.Lag > 0:
				behind++
			default:
				current++
			}
		}
		emit(current, "current")
		emit(behind, "behind")
		emit(refusing, "refusing")
	})
	g.Func("naru_link_lag_seconds", "For how long the proxy that is furthest behind has not had the newest configuration.", observe.KindGauge, nil, func(emit func(float64, ...string)) {
		var most time.Duration
		for _, p := range s.Status() {
			most = max(most, p.Lag)
		}
		emit(most.Seconds())
	})
	g.Func("naru_link_store_available", "1 while the store of this control plane answers, 0 while it does not: then nobody can join, and nothing can be signed or registered.", observe.KindGauge, nil, func(emit func(float64, ...string)) {
		if s.limited.Load() == nil {
			emit(1)
		} else {
			emit(0)
		}
	})
	g.Func("naru_link_skewed_proxies", "Proxies whose clock differs by more than 30 s from that of this control plane.", observe.KindGauge, nil, func(emit func(float64, ...string)) {
		n := 0.0
		for _, p := range s.Status() {
			if skewed(p.Skew) != "" {
				n++
			}
		}
		emit(n)
	})
	g.Func("naru_link_resources", "Resources that are offered to proxies.", observe.KindGauge, nil, func(emit func(float64, ...string)) {
		n, _, _ := s.catalog.size()
		emit(float64(n))
	})
	g.Func("naru_link_refused_total", "Calls and connections that were refused, by why.", observe.KindCounter, []string{"why"}, func(emit func(float64, ...string)) {
		for w := range whys {
			emit(float64(s.counts.refused[w].Load()), whyNames[w])
		}
	})
	count("naru_link_updates_total", "Updates sent to proxies.", s.counts.updates.Load)
	count("naru_link_sent_resources_total", "Resources sent to proxies.", s.counts.resources.Load)
	count("naru_link_sent_bytes_total", "Bytes of resources sent to proxies.", s.counts.bytes.Load)
	count("naru_link_encoded_total", "Times that a resource was encoded: once a change, not once a proxy.", func() uint64 { _, _, n := s.catalog.size(); return n })
	count("naru_link_resyncs_total", "Streams that were too far behind and had to begin anew.", s.counts.resyncs.Load)
	count("naru_link_joined_total", "Nodes that joined.", s.counts.joined.Load)
	count("naru_link_signed_total", "Identities signed for nodes.", s.counts.signed.Load)
	count("naru_link_registered_total", "Registrations of workloads by nodes.", s.counts.registered.Load)
}
