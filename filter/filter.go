// Package filter decides what happens to a request before it reaches its
// service, and to the response on its way back.
//
// # Words
//
// A filter has a request half, a response half, or both. A Chain is a rule's
// filters, compiled. A Family builds one kind of filter from the model; the
// list of families in app/lists.go is the order of execution.
//
// # Life
//
// A Chain is built once for a Program and shared by all loops, so a filter
// keeps nothing between calls except what it was built with. The request
// halves run in order; the first Answer ends the descent. The response halves
// run in reverse order, on answers of filters and of naru itself too.
//
// # Rules
//
// Inline: a filter is a plain call on the loop; it does not block, allocate,
// or keep what it is lent. One that reads or changes bodies puts a Body in
// their way (body.go) and is a plain call for each piece. Those that translate
// one protocol into another (transcode) may allocate.
//
// # Not here
//
// Mirroring, retries and time-outs need the service side: proxy does them.
package filter

import (
	"fmt"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Verdict is a request half's decision.
type Verdict uint8

const (
	// Continue to the next filter, then to the service.
	Continue Verdict = iota
	// Answer: Exchange.Response (and Body, Why) hold the answer.
	Answer
)

// Exchange is what a filter sees and changes.
type Exchange struct {
	wire.Exchange
	// Scheme, Port and Listener are those of the listener.
	Scheme   string // "http" or "https"
	Port     uint16
	Listener string
	// RPC is how the client carries a gRPC call, if it is one. GRPC says that
	// the service is called by gRPC: the proxy sets it where the client does, and
	// a filter that translates.
	RPC  wire.RPC
	GRPC bool
	// Matched is how many bytes of Request.Path the rule's prefix match
	// covered; the whole path for other kinds of match. Path is still as the
	// client sent it (normalized) until a rewrite changes it.
	Matched int
	// Params are captures of a path template, lent for the exchange.
	Params []Param
	// Inward and Outward are the Bodies in the way of the request's and the
	// response's body: see ThroughRequest and ThroughResponse.
	Inward, Outward []Body
	// Body and Why go with an Answer. Body is not copied until it is sent:
	// it must outlive the exchange (configuration, or Response.Keep).
	Body []byte
	Why  observe.Reason
	// Detail is what the log says besides Why; it outlives the exchange.
	Detail error
	// Delay is how long the service is asked later, on purpose; Slow is how slow
	// the bodies are besides, nil where they are not.
	Delay time.Duration
	Slow  *Slow
	// Caller is who the request is made for, nil where nobody has proved that.
	Caller *Caller
}

// Slow has bodies pass slowly, on purpose: so many bytes a second, 0 is as fast
// as they come.
type Slow struct{ Request, Response int64 }

// Param is a capture of a path template.
type Param struct {
	Name  string
	Value []byte
}

// Request is the half that runs before the service is asked.
type Request interface {
	OnRequest(x *Exchange) Verdict
}

// Response is the half that runs before the response is sent.
type Response interface {
	OnResponse(x *Exchange)
}

// Family builds filters of one kind.
type Family struct {
	// Name is for explain and for messages: "request headers".
	Name string
	// Build makes the filter, which implements Request, Response or both, or
	// gives nil when f is not of this family. An error is the user's mistake
	// that the dialect did not catch; the rule then answers 500.
	Build func(f *model.Filter) (any, error)
}

// Chain is a rule's filters in order of execution. The zero Chain does nothing.
type Chain struct {
	requests  []Request
	responses []Response
	names     []string
}

// Compile builds the chain of fs, ordered by families. Mirror filters are
// left out: they are the proxy's.
func Compile(families []Family, fs []model.Filter) (*Chain, error) {
	c := &Chain{}
	built := 0
	for _, fam := range families {
		for i := range fs {
			made, err := fam.Build(&fs[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", fam.Name, err)
			}
			if made == nil {
				continue
			}
			built++
			c.names = append(c.names, fam.Name)
			if r, ok := made.(Request); ok {
				c.requests = append(c.requests, r)
			}
			if r, ok := made.(Response); ok {
				c.responses = append([]Response{r}, c.responses...)
			}
		}
	}
	for i := range fs {
		// A mirror is the proxy's, and a fault that is off is none.
		if fs[i].Mirror != nil || fs[i].Fault != nil && fs[i].Fault.Off {
			built++
		}
	}
	if built < len(fs) {
		return nil, fmt.Errorf("a filter is of no known family")
	}
	return c, nil
}

// Names lists the filters for explain.
func (c *Chain) Names() []string { return c.names }

// OnRequest runs the request halves.
func (c *Chain) OnRequest(x *Exchange) Verdict {
	for _, f := range c.requests {
		if f.OnRequest(x) == Answer {
			return Answer
		}
	}
	return Continue
}

// OnResponse runs the response halves, last filter first.
func (c *Chain) OnResponse(x *Exchange) {
	for _, f := range c.responses {
		f.OnResponse(x)
	}
}
