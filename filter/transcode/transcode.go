package transcode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// Descriptors builds transcoding filters and keeps them current.
type Descriptors struct {
	mu   sync.Mutex
	live []weak.Pointer[transcoder]
}

// Family builds the filters.
func (d *Descriptors) Family() filter.Family {
	return filter.Family{Name: "transcode", Build: func(f *model.Filter) (any, error) {
		if f.Transcode == nil {
			return nil, nil
		}
		t := &transcoder{noun: f.Transcode}
		t.seen = look(t.noun.Descriptors)
		m, err := load(t.noun)
		if err != nil {
			return nil, err
		}
		t.mapping.Store(m)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.live = append(d.live, weak.Make(t))
		return t, nil
	}}
}

// transcoder is one filter. All loops share it.
type transcoder struct {
	noun    *model.Transcode
	mapping atomic.Pointer[mapping]

	// For Look, under Descriptors.mu.
	seen    sighting
	trouble error
}

// OnRequest makes a call of a request.
func (t *transcoder) OnRequest(x *filter.Exchange) filter.Verdict {
	if x.RPC != wire.NoRPC {
		return filter.Continue
	}
	m, h := t.mapping.Load(), &x.Request
	r, segments, others := m.root.find(string(h.Method), string(h.Path))
	if r == nil {
		if len(others) > 0 {
			v := m.refuse(x, observe.NoMethod, 405, observe.GRPCUnimplemented, "this path has no rule for "+string(h.Method))
			x.Response.AddString(keyAllow, strings.Join(slices.Sorted(maps.Keys(others)), ", "))
			return v
		}
		return m.refuse(x, observe.NoMethod, 404, observe.GRPCNotFound, "no method has a rule for this path")
	}
	part, err := r.bind(segments, string(h.Query))
	if err != nil {
		return m.refuse(x, observe.BadMessage, 400, observe.GRPCInvalidArgument, err.Error())
	}
	if v, ok := h.Get(keyEncoding); ok && !wire.EqualFold(v, "identity") {
		return m.refuse(x, observe.BadMessage, 415, observe.GRPCInvalidArgument, "the body is compressed, which this route does not read")
	}
	c := &call{mapping: m, rule: r, part: part, limit: pick(t.noun.MaxBytes, model.DefaultTranscodeBytes)}
	if v, ok := h.Get(wire.KeyContentType); ok {
		c.sent = string(v)
	}
	if v, ok := h.Joined(keyAccept, nil); ok {
		c.lines = asksForLines(string(v))
	}
	if h.Length > c.limit {
		return m.refuse(x, observe.BodyTooLarge, 413, observe.GRPCResourceExhausted, c.tooLarge())
	}
	h.Method, h.Path, h.Query, h.HasQuery = methodPOST, r.calls, nil, false
	h.SetString(wire.KeyContentType, "application/grpc")
	h.SetString(wire.KeyTE, "trailers")
	// What the client takes is JSON, and not from the service.
	h.Remove(keyAccept)
	h.Remove(keyAcceptEncoding)
	h.Remove(keyEncoding)
	x.GRPC = true
	x.ThroughRequest(c)
	return filter.Continue
}

func (c *call) tooLarge() string {
	return fmt.Sprintf("the message is larger than %d bytes", c.limit)
}

var (
	methodPOST        = []byte("POST")
	keyAllow          = wire.KeyOf("Allow")
	keyAccept         = wire.KeyOf("Accept")
	keyAcceptEncoding = wire.KeyOf("Accept-Encoding")
	keyEncoding       = wire.KeyOf("Content-Encoding")
)

// asksForLines says whether a stream is wanted as one JSON text a line.
func asksForLines(accept string) bool {
	for _, t := range []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines"} {
		if strings.Contains(accept, t) {
			return true
		}
	}
	return false
}

// OnResponse puts the way back into the response.
func (t *transcoder) OnResponse(x *filter.Exchange) {
	if x.Why != observe.ReasonNone {
		return // naru's own, in the client's language
	}
	for _, b := range x.Inward {
		if c, ok := b.(*call); ok {
			c.answer(x)
			return
		}
	}
}

func pick(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return v
}
