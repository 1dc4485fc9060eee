package short

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/dialect"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
)

// retry says when a failed try is made again.
type retry struct {
	Attempts int       `json:"attempts" doc:"tries after the first, at most 10" default:"1"`
	On       *codes    `json:"on" doc:"what counts as failed: statuses, gRPC ones by name (unavailable), gateway-error (502, 503, 504), 5xx, retriable-4xx (409), and connect-failure, refused, reset, timeout; where none of these four is named, all four count" default:"[502, 503, 504]"`
	Methods  words     `json:"methods" doc:"those that are tried again: one or a list" default:"every method"`
	Backoff  *span     `json:"backoff" doc:"most to wait before the second try, at least half of it; it doubles" default:"25ms" unit:"duration"`
	Most     *span     `json:"maxBackoff" doc:"most to wait before any try, and for a Retry-After of more than 1s" default:"ten times backoff" unit:"duration"`
	Body     *byteSize `json:"body" doc:"how much of a body is kept for another try, at most 1MiB; a request with more is not tried again" default:"64KiB" unit:"bytes"`
	_        struct{}  `also:"retries,count,max,maxAttempts,numRetries,tries" hint:"did you mean attempts?"`
	_        struct{}  `also:"codes,statuses,statusCodes,retryOn,conditions" hint:"did you mean on? For example on: [502, 503, 504]"`
	_        struct{}  `also:"perTryTimeout,timeout" hint:"one try is bounded at the route: timeout: {backend: 2s}"`
	_        struct{}  `also:"method" hint:"did you mean methods? It may be a list"`
	_        struct{}  `also:"budget,retryBudget" hint:"a budget is of a service: services: {orders: {endpoints: [\"10.0.0.1:9002\"], retryBudget: 20}}"`
}

// ReadNode takes a number, off, or an object.
func (r *retry) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	switch {
	case n.Kind == yaml.MappingNode:
		type plain retry
		r.Attempts = 1
		in.Into(n, (*plain)(r))
	case n.Value == off:
		r.Attempts = 0
	default:
		in.Into(n, &r.Attempts)
	}
	if in.Broken() > before {
		return
	}
	if r.Attempts < 0 || r.Attempts > model.MostRetries {
		mended := min(max(r.Attempts, 1), model.MostRetries)
		in.Doubt(n, "bad-value", "a request is retried 0 to 10 times, not "+strconv.Itoa(r.Attempts)+"; "+strconv.Itoa(mended)+" is used", "for example retry: 2")
		r.Attempts = mended
	}
	if r.Backoff.duration() < 0 || r.Most.duration() < 0 {
		in.Problem(n, "bad-value", "a back-off is always bounded", "leave it out for the default, 25ms")
	}
	if r.Body != nil && (*r.Body < 0 || *r.Body > model.MostRetryBody) {
		in.Problem(n, "bad-value", "what is kept of a body for another try is always bounded, by 1MiB at most", "leave body out for the default, 64KiB")
	}
	for _, m := range r.Methods {
		if !isFieldName(m) || m != strings.ToUpper(m) {
			in.Problem(n, "bad-value", "no method is named "+strconv.Quote(m), "for example methods: [GET, PUT]")
		}
	}
}

func (r *retry) noun() *model.Retry {
	if r.Attempts == 0 {
		return &model.Retry{}
	}
	m := &model.Retry{
		Attempts: r.Attempts, Codes: []int{502, 503, 504}, Methods: r.Methods,
		Backoff: r.Backoff.duration(), MaxBackoff: r.Most.duration(),
	}
	if r.On != nil {
		m.Codes, m.GRPC, m.On = r.On.http, r.On.grpc, r.On.kinds
	}
	if r.Body != nil {
		m.Body = int(*r.Body)
	}
	return m
}

// codes are what counts as failed: response statuses, gRPC statuses, and kinds
// of failures by name.
type codes struct {
	http, grpc []int
	kinds      []model.RetryOn
}

// ReadNode takes one or a list: 503, unavailable, or reset.
func (c *codes) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	*c = codes{http: []int{}}
	for _, node := range nodes {
		if on := model.RetryOn(node.Value); slices.Contains(model.RetryOns(), on) {
			c.kinds = append(c.kinds, on)
			continue
		}
		if code, ok := observe.GRPCCodeByName(node.Value); ok && code != observe.GRPCOK {
			c.grpc = append(c.grpc, int(code))
			continue
		}
		if code, err := strconv.Atoi(node.Value); err == nil && code >= 400 && code <= 599 {
			c.http = append(c.http, code)
			continue
		}
		example := "[502, 503], or NAME: unavailable, or NAME: [reset, timeout, gateway-error]"
		if strings.Contains(node.Value, ",") && node.Kind == yaml.ScalarNode {
			example = "[" + strings.Join(strings.FieldsFunc(node.Value, func(r rune) bool { return r == ',' || r == ' ' }), ", ") + "]"
		} else if near := nearKind(node.Value); near != "" {
			example = near
		}
		in.Wrong(node, "a status between 400 and 599, or a gRPC status, or a kind of failure", "NAME: "+example)
	}
}

// nearKind is the kind of failure that may be meant, "" where it is none.
func nearKind(written string) string {
	var names []string
	for _, on := range model.RetryOns() {
		names = append(names, string(on))
	}
	return dialect.Nearest(strings.ToLower(written), names)
}

// hedge is when a second try is made beside the first.
type hedge struct{ noun *model.Hedge }

// ReadNode takes a time, p50 to p99, or off.
func (h *hedge) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	if n.Value == off {
		h.noun = &model.Hedge{Off: true}
		return
	}
	if p, ok := strings.CutPrefix(n.Value, "p"); ok && n.Kind == yaml.ScalarNode {
		if percent, err := strconv.Atoi(p); err == nil && percent >= 50 && percent <= 99 {
			h.noun = &model.Hedge{Quantile: percent}
			return
		}
		in.Wrong(n, "a time, or p50 to p99", "NAME: 50ms, or NAME: p95")
		return
	}
	var after span
	before := in.Broken()
	in.Into(n, &after)
	if in.Broken() == before {
		h.noun = &model.Hedge{After: after.duration()}
	}
}

// budget bounds the tries after the first of a service's requests.
type budget struct {
	Percent *wholePercentage `json:"percent" doc:"share of the requests of the last ttl, 0 to 1000" default:"20" unit:"%"`
	Least   *int             `json:"minPerSecond" doc:"so many a second in any case" default:"10"`
	TTL     *span            `json:"ttl" doc:"how long a request counts, 1s to 60s" default:"10s" unit:"duration"`
	_       struct{}         `also:"ratio,retryRatio,budgetPercent" hint:"did you mean percent? For example percent: 20"`
	_       struct{}         `also:"min,minRetriesPerSecond,minRetryConcurrency,minimum" hint:"did you mean minPerSecond?"`
	_       struct{}         `also:"interval,budgetInterval,window" hint:"did you mean ttl? For example ttl: 10s"`
}

// ReadNode takes a percentage or an object.
func (b *budget) ReadNode(in *dialect.Decoder, n *yaml.Node) {
	before := in.Broken()
	if n.Kind == yaml.MappingNode {
		type plain budget
		in.Into(n, (*plain)(b))
	} else {
		b.Percent = new(wholePercentage)
		in.Into(n, b.Percent)
	}
	if in.Broken() > before {
		return
	}
	if p := b.Percent; p != nil && (*p < 0 || *p > model.MostBudgetPercent) {
		b.Percent = nil
		in.Doubt(n, "bad-value", "a retry budget is 0 to 1000% of the requests, not "+strconv.Itoa(int(*p))+"; the default of 20 is used", "for example retryBudget: 20")
	}
	if l := b.Least; l != nil && *l < 0 {
		b.Least = nil
		in.Doubt(n, "bad-value", "a retry budget has a minimum of 0 or more a second, not "+strconv.Itoa(*l)+"; the default of 10 is used", "for example retryBudget: {percent: 20, minPerSecond: 10}")
	}
	if b.TTL.duration() < 0 {
		b.TTL = nil
		in.Doubt(n, "bad-value", "requests count for a bounded time in a retry budget; the default of 10s is used", "for example ttl: 10s")
	}
}

// noun writes the model's "none" for a zero that was written.
func (b *budget) noun() *model.RetryBudget {
	if b == nil {
		return nil
	}
	said := func(n *int) int {
		switch {
		case n == nil:
			return 0
		case *n == 0:
			return -1
		}
		return *n
	}
	return &model.RetryBudget{Percent: said((*int)(b.Percent)), MinPerSecond: said(b.Least), TTL: b.TTL.duration()}
}
