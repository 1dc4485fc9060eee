package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/identity"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Decider is the filter.Authorizer of one Target.
type Decider struct {
	target   filter.Target
	policies []*model.Policy
	metrics  *Metrics

	audits, denies, allows []*rule // without dry runs
	tryDenies, tryAllows   []*rule // of dry runs
	// strict: there is an allow policy, with or without rules; unmatched is
	// what counts and tells where none of them matches. wouldStrict is that of
	// allow policies of dry runs.
	strict, wouldStrict       bool
	reads                     bool // a rule looks at paths
	unmatched, wouldUnmatched *verdict
}

var _ filter.Authorizer = (*Decider)(nil)

// verdict is how a decision is counted and told.
type verdict struct {
	*counters
	detail error
	body   []byte // of the answer that names the policy; nil does not
	text   string // the same for gRPC
}

// New compiles the policies that are for the target; m is not nil. The Decider
// is always usable: an error says which policies do not compile and refuse
// everything.
func New(all []*model.Policy, t filter.Target, m *Metrics) (*Decider, error) {
	d := &Decider{target: t, metrics: m}
	var wrong error
	for _, p := range all {
		if !t.Applies(p) {
			continue
		}
		d.policies = append(d.policies, p)
		if err := d.add(p); err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("policy %s: %w", p.Name, err))
			d.denies = append(d.denies, &rule{verdict: newVerdict(m, p, "broken")})
		}
	}
	return d, wrong
}

// add compiles one policy.
func (d *Decider) add(p *model.Policy) error {
	var rules []*rule
	for i := range p.Rules {
		r, err := compile(p, i, d.target.TrustDomain)
		if err != nil {
			return err
		}
		r.verdict = newVerdict(d.metrics, p, r.name)
		d.reads = d.reads || r.cel != nil || len(r.paths)+len(r.notPaths) > 0
		rules = append(rules, r)
	}
	switch {
	case p.Action == model.Audit:
		d.audits = append(d.audits, rules...)
	case p.Action == model.Deny && p.DryRun:
		d.tryDenies = append(d.tryDenies, rules...)
	case p.Action == model.Deny:
		d.denies = append(d.denies, rules...)
	case p.Action != model.Allow:
		return fmt.Errorf("the action is %q", p.Action)
	case p.DryRun:
		d.tryAllows = append(d.tryAllows, rules...)
		if d.wouldStrict = true; d.wouldUnmatched == nil {
			d.wouldUnmatched = newVerdict(d.metrics, p, "")
		}
	default:
		d.allows = append(d.allows, rules...)
		if d.strict = true; d.unmatched == nil || p.Tell && d.unmatched.body == nil {
			d.unmatched = newVerdict(d.metrics, p, "")
		}
	}
	return nil
}

func newVerdict(m *Metrics, p *model.Policy, name string) *verdict {
	v := &verdict{counters: m.of(series{p.Name, name, p.Action})}
	text := "policy " + p.Name + ": no rule matches"
	if name != "" {
		text = "policy " + p.Name + ", rule " + name
	}
	v.detail = errors.New(text)
	if p.Tell {
		i := observe.PolicyDenied.Info()
		v.body = fmt.Appendf(nil, `{"type":"urn:naru:reason:%s","title":%q,"status":%d,"code":%q,"policy":%s,"rule":%s}`+"\n",
			i.Code, i.Title, i.Status, i.Code, quote(p.Name), quote(name))
		v.text = string(wire.AppendGRPCMessage(nil, i.Title+": "+text))
	}
	return v
}

// input is what a decision is about.
type input struct {
	peer     *wire.Peer
	remote   netip.AddrPort
	identity string // the peer's SPIFFE ID, "" where it has proved no workload's
	// domain, namespace and account are its parts; the last two only where it
	// is a workload's.
	domain, namespace, account string
	port                       uint16
	sni                        string
	service                    string
	x                          *filter.Exchange // nil where it is not HTTP
	// path is x's; other is what services may read in it, nil where that is the
	// same. They are exchanged while the other is looked at: turned.
	path, other []byte
	turned      bool
}

func (d *Decider) fill(in *input, peer *wire.Peer, port uint16) {
	in.port, in.service = port, d.target.Service
	if in.x != nil {
		in.path = in.x.Request.Path
		if d.reads {
			in.other = reading(in.path)
		}
	}
	if peer == nil {
		return
	}
	in.peer, in.remote = peer, peer.Remote
	if peer.TLS == nil || peer.TLS.Identity == "" {
		return
	}
	if !identity.IsWorkload(peer.TLS.Identity, d.target.TrustDomain) {
		return // a machine proves that it is one, and that is nobody who calls
	}
	rest := strings.TrimPrefix(peer.TLS.Identity, "spiffe://")
	in.identity = peer.TLS.Identity
	in.domain, rest, _ = strings.Cut(rest, "/")
	rest, ok := strings.CutPrefix(rest, "ns/")
	if !ok {
		return
	}
	namespace, rest, _ := strings.Cut(rest, "/")
	if account, ok := strings.CutPrefix(rest, "sa/"); ok && account != "" && strings.IndexByte(account, '/') < 0 {
		in.namespace, in.account = namespace, account
	}
}

// decide gives what refuses, nil where nothing does; by is what let it in.
// quietly: it was asked before, and only what would end it is noted.
func (d *Decider) decide(in *input, quietly bool) (refused, by *verdict) {
	if !quietly {
		for _, r := range d.audits {
			if r.matches(d, in, false) || in.other != nil && r.matches(d, in, true) {
				d.metrics.note(r.counters, Audited, in)
			}
		}
	}
	for _, r := range d.denies {
		if r.matches(d, in, true) {
			d.metrics.note(r.counters, Refused, in)
			return r.verdict, nil
		}
	}
	if d.strict {
		for _, r := range d.allows {
			if r.matches(d, in, false) {
				by = r.verdict
				break
			}
		}
		if by == nil {
			d.metrics.note(d.unmatched.counters, Refused, in)
			return d.unmatched, nil
		}
		if !quietly {
			d.metrics.note(by.counters, Allowed, in)
		}
	}
	d.rehearse(in)
	return nil, by
}

// rehearse notes what dry runs would have refused of what was let in.
func (d *Decider) rehearse(in *input) {
	for _, r := range d.tryDenies {
		if r.matches(d, in, true) {
			d.metrics.note(r.counters, WouldRefuse, in)
			return
		}
	}
	if !d.wouldStrict || d.strict {
		// With allows in force, one more lets in more and refuses nothing.
		return
	}
	for _, r := range d.tryAllows {
		if r.matches(d, in, false) {
			return
		}
	}
	d.metrics.note(d.wouldUnmatched.counters, WouldRefuse, in)
}

// Connection is of filter.Authorizer.
func (d *Decider) Connection(peer *wire.Peer, port uint16, sni string) filter.Decision {
	return d.decision(input{sni: sni}, peer, port, false)
}

// Recheck is of filter.Authorizer.
func (d *Decider) Recheck(peer *wire.Peer, port uint16, sni string, x *filter.Exchange) filter.Decision {
	return d.decision(input{sni: sni, x: x}, peer, port, true)
}

func (d *Decider) decision(in input, peer *wire.Peer, port uint16, quietly bool) filter.Decision {
	if len(d.policies) == 0 {
		return filter.Decision{}
	}
	d.fill(&in, peer, port)
	switch refused, by := d.decide(&in, quietly); {
	case refused != nil:
		if in.x != nil {
			refused.answer(in.x)
		}
		return filter.Decision{Why: observe.PolicyDenied, Policy: refused.policy, Rule: refused.rule, Detail: refused.detail}
	case by != nil:
		return filter.Decision{Policy: by.policy, Rule: by.rule}
	}
	return filter.Decision{}
}

// Bars is of filter.Authorizer. What depends on the request may turn out well:
// such a deny does not match, such an allow does.
func (d *Decider) Bars(peer *wire.Peer, port uint16) bool {
	var in input
	d.fill(&in, peer, port)
	for _, r := range d.denies {
		if r.matches(d, &in, false) {
			return true
		}
	}
	for _, r := range d.allows {
		if r.matches(d, &in, true) {
			return false
		}
	}
	return d.strict
}

// Request is of filter.Authorizer.
func (d *Decider) Request(port uint16) filter.Request {
	if len(d.policies) == 0 {
		return nil
	}
	return &requests{d, port}
}

// Same is of filter.Authorizer.
func (d *Decider) Same(other filter.Authorizer) bool {
	o, ok := other.(*Decider)
	return ok && d.target == o.target && slices.Equal(d.policies, o.policies)
}

// requests is the filter.
type requests struct {
	*Decider
	port uint16
}

// OnRequest answers what is refused.
func (r *requests) OnRequest(x *filter.Exchange) filter.Verdict {
	in := input{x: x}
	r.fill(&in, x.Peer, r.port)
	refused, _ := r.decide(&in, false)
	if refused == nil {
		return filter.Continue
	}
	return refused.answer(x)
}

// answer makes x the answer to what is refused.
func (v *verdict) answer(x *filter.Exchange) filter.Verdict {
	x.Refuse(observe.PolicyDenied)
	x.Detail = v.detail
	switch {
	case v.body == nil:
	case x.RPC == wire.NoRPC:
		x.Body = v.body
		x.Response.Length = int64(len(v.body))
	default:
		wire.SetGRPCStatus(&x.Response, x.RPC, observe.PolicyDenied.GRPC(), v.text)
	}
	return filter.Answer
}

// quote writes a JSON string.
func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string can always be marshalled
	return b
}
