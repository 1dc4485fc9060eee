package gatewayapi

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// TrafficPolicy (naru.dev/v1alpha1) says how requests are served: what an
// HTTPRoute says for its rules, for more than one of them. The nearest that says
// a field gives it. One with authorization is of package native.
type TrafficPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec TrafficPolicySpec `json:"spec"`
}

// TrafficPolicySpec is the content of a TrafficPolicy.
type TrafficPolicySpec struct {
	// TargetRefs are Gateways, HTTPRoutes, GRPCRoutes, TCPRoutes, TLSRoutes,
	// UDPRoutes and Services in the policy's namespace, that Namespace, or the
	// Mesh: all. sectionName is the name of a listener, a rule or a port. Of what
	// is no request the priority counts.
	TargetRefs []gateway.LocalPolicyTargetReferenceWithSectionName `json:"targetRefs"`
	// Timeouts are those of an HTTPRoute; 0s is none.
	Timeouts *gateway.HTTPRouteTimeouts `json:"timeouts,omitempty"`
	// Retry says when a try that failed is made again; one more by default, where
	// that is safe.
	Retry *Retry `json:"retry,omitempty"`
	// Hedge makes a second try beside a first that takes long; none by default.
	Hedge *Hedge `json:"hedge,omitempty"`
	// SessionPersistence is that of an HTTPRoute.
	SessionPersistence *gateway.SessionPersistence `json:"sessionPersistence,omitempty"`
	// Priority is low, normal (the default) or critical: which requests, and which
	// new connections, are refused first, and which last, where not all can be
	// served.
	Priority string `json:"priority,omitempty"`
	// StreamTimeouts bound what follows a response's head.
	StreamTimeouts *StreamTimeouts `json:"streamTimeouts,omitempty"`
	// Shape delays requests to a steady rate and passes bodies at a rate, of each
	// route; by default both pass as fast as they come.
	Shape *Shape `json:"shape,omitempty"`
	// Fault makes some requests slow, or fail, on purpose; none by default.
	Fault *Fault `json:"fault,omitempty"`
	// Rollout moves the requests to a new version step by step; none by default.
	Rollout *Rollout `json:"rollout,omitempty"`

	_ struct{} `also:"timeout" hint:"did you mean timeouts? For example timeouts: {request: 10s}"`
	_ struct{} `also:"idleTimeout,streamIdleTimeout,maxStreamDuration" hint:"it stands under streamTimeouts: for example streamTimeouts: {idle: 30s, duration: 1h}"`
	_ struct{} `also:"retries" hint:"did you mean retry? For example retry: {attempts: 2}"`
	_ struct{} `also:"session" hint:"did you mean sessionPersistence?"`
	_ struct{} `also:"healthCheck,loadBalancing,outlierDetection,locality,connection,limits,retryBudget" hint:"how a Service is reached is said by a BackendPolicy"`
}

// Retry says when a try that failed is made again. attempts, codes and backoff
// are as in an HTTPRoute.
type Retry struct {
	// Attempts are tries after the first, 0 to 10; default 1.
	Attempts *int `json:"attempts,omitempty"`
	// Codes are statuses, 400 to 599; default 502, 503 and 504.
	Codes []int `json:"codes,omitempty"`
	// On are further failures: connect-failure, refused, reset, timeout (where
	// none of these is named, all four), gateway-error, 5xx, retriable-4xx, and
	// gRPC statuses by their names (unavailable).
	On []string `json:"on,omitempty"`
	// Methods are those that are tried again; default all.
	Methods    []string         `json:"methods,omitempty"`
	Backoff    gateway.Duration `json:"backoff,omitempty"`    // default 25ms
	MaxBackoff gateway.Duration `json:"maxBackoff,omitempty"` // default ten times backoff
	// BodyBytes are kept of a body for another try; default 65536.
	BodyBytes int `json:"bodyBytes,omitempty"`

	_ struct{} `also:"perTryTimeout" hint:"one try is bounded by timeouts: {backendRequest: 2s}"`
	_ struct{} `also:"retryOn" hint:"did you mean on? For example on: [reset, gateway-error]"`
	_ struct{} `also:"numRetries,maxRetries" hint:"did you mean attempts?"`
}

// Hedge makes a second try: one of its fields says when.
type Hedge struct {
	After      gateway.Duration `json:"after,omitempty"`      // so long after the first
	Percentile int              `json:"percentile,omitempty"` // 50 to 99: when so many answers have come sooner
	// Disabled: none, whatever a policy for more says.
	Disabled bool `json:"disabled,omitempty"`
}

// trafficPolicy is a TrafficPolicy: its references stay names.
type trafficPolicy struct {
	object
	noun *model.TrafficPolicy
}

// trafficPolicy reads one. A field with a mistake counts as not written.
func (r *reader) trafficPolicy(k *servedKind) *trafficPolicy {
	var in TrafficPolicy
	r.decode(&in)
	o := r.object(k, &in.ObjectMeta)
	if o == nil {
		return nil
	}
	p := &trafficPolicy{object: *o, noun: newPolicy(o)}
	p.noun.Targets = r.targets(k.kind, p.noun, in.Spec.TargetRefs)
	out := &model.Route{}
	spec := &in.Spec
	say := func(name, group string, is bool, read func()) {
		before := *out
		if !r.part(name, is, read) {
			*out = before
		} else if is {
			p.noun.Fields = append(p.noun.Fields, model.FieldOrigin{Field: group, Origin: r.origin("spec." + name)})
		}
	}
	say("timeouts", "timeouts", spec.Timeouts != nil, func() { out.Timeouts = r.policyTimeouts(spec.Timeouts) })
	say("streamTimeouts", "timeouts", spec.StreamTimeouts != nil, func() {
		r.streamTimeouts("spec.streamTimeouts", spec.StreamTimeouts, &out.Timeouts)
	})
	say("shape", "shape", spec.Shape != nil, func() { out.Shape = r.shape("spec.shape", spec.Shape) })
	say("fault", "fault", spec.Fault != nil, func() {
		if f := r.fault("spec.fault", spec.Fault); f != nil {
			out.Filters = []model.Filter{{Fault: f}}
		}
	})
	say("retry", "retry", spec.Retry != nil, func() { out.Retry = r.policyRetry(spec.Retry) })
	say("hedge", "hedge", spec.Hedge != nil, func() { out.Hedge = r.hedge(spec.Hedge) })
	say("sessionPersistence", "session", spec.SessionPersistence != nil, func() { out.Session = r.session("spec", spec.SessionPersistence) })
	say("priority", "priority", spec.Priority != "", func() {
		if r.oneOf("spec.priority", spec.Priority, "low", "normal", "critical") {
			out.Priority = model.Priority(spec.Priority)
		}
	})
	say("rollout", "rollout", spec.Rollout != nil, func() { out.Rollout = r.rollout("spec.rollout", o.String(), spec.Rollout) })
	if len(p.noun.Targets) == 0 {
		return nil
	}
	if reflect.ValueOf(out).Elem().IsZero() {
		if len(r.problems) == 0 {
			r.doubtful("spec", "missing-field", "the policy says nothing", "for example timeouts: {request: 3s}")
		}
		return nil
	}
	p.noun.Route = out
	return p
}

// newPolicy begins the noun of a policy.
func newPolicy(o *object) *model.TrafficPolicy {
	return &model.TrafficPolicy{Name: o.about(), Order: model.Order{Created: o.created, Name: o.String()}, Origin: o.at}
}

// untilRight is what comes of a part of a policy that has a mistake.
const untilRight = "until this is right it counts as not written"

// part reads a part of a policy where it is there, and says whether it is right.
func (r *reader) part(name string, is bool, read func()) bool {
	field := "spec." + name
	before := len(r.problems)
	good := !r.spoiled(field)
	if is && good {
		read()
	}
	for i := range r.problems {
		p := &r.problems[i]
		if i < before && !under(p.Origin.Field, r.full(field)) || p.Severity != model.Broken || strings.Contains(p.Hint, untilRight) {
			continue
		}
		good = false
		p.Hint = strings.TrimPrefix(p.Hint+"; "+untilRight, "; ")
	}
	return good
}

// under says whether a field is another, or inside it.
func under(field, whole string) bool {
	rest, ok := strings.CutPrefix(field, whole)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// targetGroups are the groups of what policies are for.
var targetGroups = map[string]string{
	"Service": coreGroup, "Namespace": coreGroup, "Mesh": naruGroup, gatewayKind: gatewayGroup, httpRoute: gatewayGroup, grpcRoute: gatewayGroup,
	tcpRoute: gatewayGroup, tlsRoute: gatewayGroup, udpRoute: gatewayGroup,
}

// targets reads what a policy is for, but for nothing that a mistake is in.
func (r *reader) targets(kind string, p *model.TrafficPolicy, refs []gateway.LocalPolicyTargetReferenceWithSectionName) (all []model.PolicyTarget) {
	kinds := []string{"Mesh", "Namespace", "Service", gatewayKind, httpRoute, grpcRoute, tcpRoute, tlsRoute, udpRoute}
	if kind == backendPolicyKind {
		kinds = kinds[:3]
	}
	if len(refs) == 0 && !r.spoiled("spec") {
		r.broken("spec", "missing-field", "a "+kind+" has targetRefs", `targetRefs: [{group: "", kind: Service, name: orders}]`)
	}
	for i, ref := range refs {
		field := item("spec.targetRefs", i)
		group, known := targetGroups[string(ref.Kind)]
		t := model.PolicyTarget{Kind: model.TargetKind(ref.Kind), Namespace: r.home, Name: string(ref.Name), Section: string(or(ref.SectionName, ""))}
		whole := t.Kind == model.TargetMesh || t.Kind == model.TargetNamespace
		switch {
		case r.spoiled(field):
			continue
		case !known || !slices.Contains(kinds, string(ref.Kind)):
			r.unknownValue(field+".kind", string(ref.Kind), kinds...)
			continue
		case ref.Group != "" && string(ref.Group) != group:
			r.broken(field+".group", "bad-value", string(ref.Kind)+" is of "+quoted(group)+", not of "+quoted(string(ref.Group)), fmt.Sprintf("group: %q", group))
			continue
		case whole && t.Section != "":
			r.broken(field+".sectionName", "bad-value", "a "+string(ref.Kind)+" has no sections", "leave it out")
			continue
		case t.Kind == model.TargetNamespace && t.Name != "" && t.Name != r.home:
			r.broken(field+".name", "bad-value", "the policy is in namespace "+r.home+", and can not be for "+t.Name, "write it into that namespace")
			continue
		case !whole && t.Name == "":
			r.broken(field, "missing-field", "name is missing", "")
			continue
		}
		if whole {
			t.Name = ""
		}
		if t.Kind == model.TargetMesh {
			t.Namespace = ""
		}
		if slices.Contains(all, t) {
			r.doubtful(field, "duplicate-name", "the policy is already for "+t.String(), "")
			continue
		}
		all = append(all, t)
		p.Fields = append(p.Fields, model.FieldOrigin{Field: "target " + t.String(), Origin: r.origin(field)})
	}
	return all
}

// policyTimeouts reads the timeouts of a policy. One that is shorter than its
// parts bounds them, and Validate tells of it.
func (r *reader) policyTimeouts(in *gateway.HTTPRouteTimeouts) model.Timeouts {
	request := r.timeouts("spec", &gateway.HTTPRouteTimeouts{Request: in.Request})
	backend := r.timeouts("spec", &gateway.HTTPRouteTimeouts{BackendRequest: in.BackendRequest})
	return model.Timeouts{Request: request.Request, Backend: cmp.Or(backend.Backend, request.Backend)}
}

// policyRetry reads the retries of a policy.
func (r *reader) policyRetry(in *Retry) *model.Retry {
	const field = "spec.retry"
	out := &model.Retry{Attempts: or(in.Attempts, defaultAttempts), Codes: in.Codes, Methods: in.Methods, Body: in.BodyBytes}
	if out.Attempts < 0 || out.Attempts > mostAttempts {
		r.broken(field+".attempts", "bad-value", "attempts is 0 to 10", "0 is none")
	}
	if len(in.Codes)+len(in.On) == 0 {
		out.Codes = []int{502, 503, 504}
	}
	for i, code := range in.Codes {
		if code < 400 || code > 599 {
			r.broken(item(field+".codes", i), "bad-value", "a status to retry is between 400 and 599", "")
		}
	}
	for i, on := range in.On {
		if slices.Contains(model.RetryOns(), model.RetryOn(on)) {
			out.On = append(out.On, model.RetryOn(on))
			continue
		}
		if code, ok := observe.GRPCCodeByName(on); ok && code != observe.GRPCOK {
			out.GRPC = append(out.GRPC, int(code))
			continue
		}
		words := []string{"unavailable"}
		for _, w := range model.RetryOns() {
			words = append(words, string(w))
		}
		r.unknownValue(item(field+".on", i), on, words...)
	}
	for i, m := range in.Methods {
		if !isToken(m) || strings.ToUpper(m) != m {
			r.broken(item(field+".methods", i), "bad-value", "no method is named "+m, "write GET, PUT, ...")
		}
	}
	out.Backoff, out.MaxBackoff = r.bound(field+".backoff", in.Backoff), r.bound(field+".maxBackoff", in.MaxBackoff)
	if in.BodyBytes < 0 || in.BodyBytes > model.MostRetryBody {
		r.broken(field+".bodyBytes", "bad-value", "bodyBytes is 1 to 1048576", "leave it out for 65536")
	}
	if out.Attempts == 0 {
		return &model.Retry{}
	}
	return out
}

// hedge reads when a second try is made.
func (r *reader) hedge(in *Hedge) *model.Hedge {
	const field = "spec.hedge"
	var after time.Duration
	switch {
	case in.Disabled && (in.After != "" || in.Percentile != 0):
		r.broken(field, "conflict", "a hedge is disabled or has a time, not both", "remove one of them")
	case in.Disabled:
	case (in.After != "") == (in.Percentile != 0):
		r.broken(field, "bad-value", "a hedge has either after or percentile", "hedge: {after: 50ms}")
	case in.Percentile != 0 && (in.Percentile < 50 || in.Percentile > 99):
		r.broken(field+".percentile", "bad-value", "percentile is 50 to 99", "")
	default:
		after = r.bound(field+".after", in.After)
	}
	return &model.Hedge{After: after, Quantile: in.Percentile, Off: in.Disabled}
}
