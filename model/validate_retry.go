package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// endurance checks time-outs and retries.
func (v *checker) endurance(r *Route) *Route {
	t := r.Timeouts
	v.on("timeouts")
	v.short("a request timeout", t.Request)
	v.short("a backend timeout", t.Backend)
	v.long("a request timeout", t.Request)
	v.long("a backend timeout", t.Backend)
	if t.Request > 0 && t.Backend > t.Request {
		v.doubtful("long-timeout", fmt.Sprintf("route %s gives one try %v, but the whole request only %v: that ends a try too", r.Name, t.Backend, t.Request),
			"make the request timeout the longer one")
	}
	v.phases(r)
	v.on("hedge")
	r = v.hedge(r)
	if r.Retry == nil {
		return r
	}
	v.on("retry")
	said := len(v.problems)
	v.retry(r)
	if slices.ContainsFunc(v.problems[said:], func(p Problem) bool { return p.Severity == Broken }) {
		r = copied(r)
		r.Retry = nil
	}
	return r
}

// retry checks what is broken first, and what is only strange where nothing is.
func (v *checker) retry(r *Route) {
	t, said := r.Retry, len(v.problems)
	if t.Attempts < 0 || t.Attempts > MostRetries {
		v.broken("bad-retry", fmt.Sprintf("route %s retries %d times", r.Name, t.Attempts), "write 0 to 10")
	}
	for _, on := range t.On {
		if !slices.Contains(RetryOns(), on) {
			v.broken("bad-retry", "route "+r.Name+" retries on "+strconv.Quote(string(on)), "write connect-failure, refused, reset, timeout, gateway-error, 5xx, retriable-4xx, or statuses")
		}
	}
	for _, code := range t.Codes {
		if code < 400 || code > 599 {
			v.broken("bad-status", fmt.Sprintf("route %s retries on status %d", r.Name, code), "write 400 to 599")
		}
	}
	for _, code := range t.GRPC {
		if code < 1 || code > 16 {
			v.broken("bad-status", fmt.Sprintf("route %s retries on gRPC status %d", r.Name, code), "write 1 to 16")
		}
	}
	for _, m := range t.Methods {
		if !isToken(m) || m != strings.ToUpper(m) {
			v.broken("bad-method", "route "+r.Name+" retries the method "+strconv.Quote(m), "write GET, PUT, ...")
		}
	}
	if t.Backoff < 0 || t.MaxBackoff < 0 {
		v.broken("bad-retry", fmt.Sprintf("route %s waits %v before it retries", r.Name, min(t.Backoff, t.MaxBackoff)), "leave it out for the default, 25ms")
	}
	if t.Body < 0 || t.Body > MostRetryBody {
		v.broken("bad-retry", fmt.Sprintf("route %s keeps %d bytes of a body for another try", r.Name, t.Body), "write 1 to 1048576, or leave it out for 65536")
	}
	if len(v.problems) > said {
		return
	}
	v.long("a back-off of retries", max(t.Backoff, t.MaxBackoff))
	base := t.Backoff
	if base == 0 {
		base = DefaultBackoff
	}
	switch {
	case t.MaxBackoff > 0 && t.MaxBackoff < base:
		v.doubtful("contradiction", fmt.Sprintf("route %s begins with a back-off of %v, which is more than its longest of %v: it always waits up to %v", r.Name, base, t.MaxBackoff, t.MaxBackoff),
			"make the longest one the longer one")
	case r.Timeouts.Request > 0 && base/2 >= r.Timeouts.Request && t.Attempts > 0:
		v.doubtful("contradiction", fmt.Sprintf("route %s waits at least %v before it retries, but the whole request has only %v: it never retries", r.Name, base/2, r.Timeouts.Request),
			"make the back-off shorter, or the request timeout longer")
	}
}

// hedge takes away what cannot be; the requests are served without.
func (v *checker) hedge(r *Route) *Route {
	h := r.Hedge
	if h == nil || h.Off {
		return r
	}
	t := r.Timeouts.Backend
	if r.Timeouts.Request > 0 && (t <= 0 || t > r.Timeouts.Request) {
		t = r.Timeouts.Request
	}
	switch {
	case (h.After != 0) == (h.Quantile != 0):
		v.broken("bad-hedge", "route "+r.Name+" hedges after both a time and a quantile, or after neither", "write one: 50ms, or p95")
	case h.After < 0:
		v.broken("bad-hedge", fmt.Sprintf("route %s hedges after %v", r.Name, h.After), "write a time that is more than nothing")
	case h.Quantile != 0 && (h.Quantile < 50 || h.Quantile > 99):
		v.broken("bad-hedge", fmt.Sprintf("route %s hedges after the quantile p%d", r.Name, h.Quantile), "write p50 to p99")
	case r.Retry != nil && r.Retry.Attempts == 0:
		v.doubtful("contradiction", "route "+r.Name+" hedges, but its retries are off: it never hedges", "leave one of them out")
		return r
	case t > 0 && h.After >= t:
		v.doubtful("contradiction", fmt.Sprintf("route %s hedges after %v, but a try has only %v: it never hedges", r.Name, h.After, t), "make it shorter")
		return r
	default:
		v.short("the wait of a hedge", h.After)
		return r
	}
	r = copied(r)
	r.Hedge = nil
	return r
}

// retryBudget checks the budget of s, and takes a broken one away: the default
// is used then.
func (v *checker) retryBudget(s *Service) *Service {
	b := s.RetryBudget
	if b == nil {
		return s
	}
	said := len(v.problems)
	if b.Percent > MostBudgetPercent {
		v.broken("bad-retry", fmt.Sprintf("the retry budget of service %s is %d%% of its requests", s.Name, b.Percent), "write 0 to 1000; without this one it is 20")
	}
	if b.MinPerSecond > 1e6 {
		v.broken("bad-retry", fmt.Sprintf("the retry budget of service %s has a minimum of %d a second", s.Name, b.MinPerSecond), "write 0 to 1000000; without this one it is 10")
	}
	if b.TTL != 0 && (b.TTL < time.Second || b.TTL > time.Minute) {
		v.broken("bad-retry", fmt.Sprintf("the retry budget of service %s counts the requests of %v", s.Name, b.TTL), "write 1s to 60s; without this one it is 10s")
	}
	if len(v.problems) > said {
		s = copied(s)
		s.RetryBudget = nil
		return s
	}
	if f := b.Filled(); f.Percent == 0 && f.MinPerSecond == 0 {
		v.doubtful("contradiction", "the retry budget of service "+s.Name+" is nothing: no request to it is ever tried again", "say retry: off at the routes, if this is meant")
	}
	return s
}
