package model

import "time"

// Retry says when a try that failed is made again. A Route without one has the
// default: see DefaultRetry. Attempts of 0 turn retries off; then a request is
// sent once, but for pooled connections that turn out to be closed before
// anything was sent on them.
//
// Whatever it says, no try is made that the budget of the service or the
// request's time does not allow, or whose body was not kept.
type Retry struct {
	// Attempts is the number of tries after the first; at most 10.
	Attempts int `json:"attempts"`
	// On are failures that count, beside Codes and GRPC. Where none of
	// connect-failure, refused, reset and timeout is among them, all four count.
	On []RetryOn `json:"on,omitempty"`
	// Codes are response statuses that count as failed.
	Codes []int `json:"codes,omitempty"`
	// GRPC are gRPC status codes that count as failed, where the answer is
	// nothing but a status (a trailers-only response).
	GRPC []int `json:"grpc,omitempty"`
	// Methods are those that are tried again; none is every method.
	Methods []string `json:"methods,omitempty"`
	// Backoff is the most to wait before the second try, and half of it the
	// least; it doubles with each try, up to MaxBackoff. 0 is 25 ms.
	Backoff time.Duration `json:"backoff,omitempty"`
	// MaxBackoff is 0 for ten times Backoff. Retry-After of a service is waited
	// for up to the longer of this and a second.
	MaxBackoff time.Duration `json:"maxBackoff,omitempty"`
	// Body is how much of a request's body is kept for another try, in bytes, at
	// most MostRetryBody; a request with a longer one is not tried again. 0 is
	// 64 KiB.
	Body int `json:"body,omitempty"`
}

// RetryOn is a kind of failure.
type RetryOn string

const (
	OnConnectFailure RetryOn = "connect-failure" // no connection could be made, for whatever reason
	OnRefused        RetryOn = "refused"         // the endpoint's system refused the connection
	OnReset          RetryOn = "reset"           // the connection ended before a response
	OnTimeout        RetryOn = "timeout"         // no response head within Timeouts.Backend
	OnGatewayError   RetryOn = "gateway-error"   // status 502, 503, 504
	On5xx            RetryOn = "5xx"             // every status from 500
	OnRetriable4xx   RetryOn = "retriable-4xx"   // status 409
)

// RetryOns are the RetryOn that there are.
func RetryOns() []RetryOn {
	return []RetryOn{OnConnectFailure, OnRefused, OnReset, OnTimeout, OnGatewayError, On5xx, OnRetriable4xx}
}

// IsStatus says whether it stands for response statuses.
func (o RetryOn) IsStatus() bool {
	return o == OnGatewayError || o == On5xx || o == OnRetriable4xx
}

// Bounds and defaults of a Retry.
const (
	MostRetries       = 10
	DefaultBackoff    = 25 * time.Millisecond
	DefaultRetryBody  = 64 << 10
	MostRetryBody     = 1 << 20
	MostRetryAfter    = time.Second // that is waited for, unless MaxBackoff is longer
	MostBudgetPercent = 1000
)

// DefaultRetry is what a Route without a Retry has: one more try, on another
// endpoint, of an idempotent request that met 502, 503, 504 or a reset, and of a
// gRPC call that was answered by nothing but UNAVAILABLE.
func DefaultRetry() *Retry {
	return &Retry{Attempts: 1, On: []RetryOn{OnReset, OnGatewayError}, GRPC: []int{14}}
}

// Hedge makes a second try, on another endpoint, beside a first one that takes
// long; the first answer that is not one to be tried again wins, and the other
// try is cancelled. It is for requests whose method is idempotent or stands in
// Retry.Methods, and within the service's budget. Just one of After and
// Quantile is set, unless it is Off.
type Hedge struct {
	// After is how long the first try has for its response's head.
	After time.Duration `json:"after,omitempty"`
	// Quantile is a percentage, 50 to 99: so many of the route's responses came
	// faster than the time that is waited. Nothing is hedged before a hundred of
	// them were seen.
	Quantile int `json:"quantile,omitempty"`
	// Off: there is none, whatever a policy says.
	Off bool `json:"off,omitempty"`
}

// RetryBudget bounds the tries after the first of all requests to a Service
// together: Percent of the requests of the last TTL, and MinPerSecond besides.
type RetryBudget struct {
	// Percent is 0 for the default, 20, and negative for none.
	Percent int `json:"percent,omitempty"`
	// MinPerSecond is 0 for the default, 10, and negative for none.
	MinPerSecond int `json:"minPerSecond,omitempty"`
	// TTL is how long a request counts, from 1 s to 60 s; 0 is 10 s.
	TTL time.Duration `json:"ttl,omitempty"`
}

// DefaultRetryBudget is what a Service without one has.
var DefaultRetryBudget = RetryBudget{Percent: 20, MinPerSecond: 10, TTL: 10 * time.Second}

// Filled gives b with the defaults in place of zeros and zeros in place of
// "none"; nil has the defaults.
func (b *RetryBudget) Filled() RetryBudget {
	if b == nil {
		return DefaultRetryBudget
	}
	out, d := *b, &DefaultRetryBudget
	if out.Percent == 0 {
		out.Percent = d.Percent
	}
	if out.MinPerSecond == 0 {
		out.MinPerSecond = d.MinPerSecond
	}
	if out.TTL == 0 {
		out.TTL = d.TTL
	}
	out.Percent, out.MinPerSecond = max(out.Percent, 0), max(out.MinPerSecond, 0)
	return out
}

func (t *Retry) write(b *content) {
	b.int(int64(t.Attempts))
	for _, list := range [...][]int{t.Codes, t.GRPC} {
		b.number(uint64(len(list)))
		for _, code := range list {
			b.int(int64(code))
		}
	}
	b.time(t.Backoff)
	if len(t.On) > 0 || len(t.Methods) > 0 || t.MaxBackoff != 0 || t.Body != 0 { // nothing else changes where they are empty
		b.text("retry-on")
		b.number(uint64(len(t.On)))
		for _, on := range t.On {
			b.text(string(on))
		}
		b.strings(t.Methods...)
		b.time(t.MaxBackoff)
		b.int(int64(t.Body))
	}
}

func (t *RetryBudget) write(b *content) {
	b.int(int64(t.Percent))
	b.int(int64(t.MinPerSecond))
	b.time(t.TTL)
}
