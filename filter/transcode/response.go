package transcode

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

// answer prepares the response's head and puts its Body in the way.
func (c *call) answer(x *filter.Exchange) {
	h := &x.Response
	back := &answering{call: c}
	_, only := h.GRPCStatus()
	switch {
	case h.Status != 200 || h.RPC() != wire.GRPC:
		code := observe.GRPCCodeOf(h.Status)
		back.failed = &spb.Status{Code: int32(code), Message: "the service's answer is not gRPC"}
	case only:
		if back.failed = statusOf(h); back.failed.Code == 0 {
			back.failed = nil // an answer of no messages
		}
		back.ended = true
	}
	h.Remove(wire.KeyGRPCStatus)
	h.Remove(wire.KeyGRPCMessage)
	h.Remove(keyDetails)
	h.Remove(keyGRPCEncoding)
	h.Remove(keyGRPCAccept)
	h.SetString(wire.KeyContentType, jsonType)
	if back.failed != nil {
		h.Status = httpStatus(observe.GRPCCode(back.failed.Code))
	} else if c.rule.method.IsStreamingServer() && c.lines {
		h.SetString(wire.KeyContentType, "application/x-ndjson")
	}
	x.ThroughResponse(back)
}

var (
	keyGRPCEncoding = wire.KeyOf("grpc-encoding")
	keyGRPCAccept   = wire.KeyOf("grpc-accept-encoding")
)

// answering is the Body of a call's response: gRPC messages in, JSON out. The
// head waits until it is known whether the call succeeded, in a stream until
// its first message is there.
type answering struct {
	*call
	failed *spb.Status // what the head said already
	ended  bool        // so it did, and the trailers say nothing
	count  int         // messages
	last   []byte      // of a call with one
}

// Close is filter.Body's.
func (a *answering) Close() {}

// Pass is filter.Body's.
func (a *answering) Pass(x *filter.Exchange, p *filter.Piece) filter.Step {
	if a.failed != nil {
		p.In = nil
		if p.End == nil {
			return filter.Held
		}
		return a.end(x, p, a.failed)
	}
	message, err := a.next(p)
	if err != nil {
		x.Refuse(observe.UpstreamBadMessage)
		return filter.Failed
	}
	streams := a.rule.method.IsStreamingServer()
	if message == nil {
		switch {
		case p.End != nil:
			status := &spb.Status{}
			if !a.ended {
				status = statusOf(p.End)
			}
			return a.end(x, p, status)
		case !streams || a.count == 0:
			return filter.Held
		}
		return filter.Passed
	}
	a.count++
	text, err := a.text(x, message, a.count == 1)
	if err != nil || !streams && a.count > 1 {
		x.Refuse(observe.UpstreamBadMessage)
		return filter.Failed
	}
	if !streams {
		a.last = text
		if p.End != nil {
			return filter.Again
		}
		return filter.Held
	}
	p.Out = a.item(p.Out, text)
	return filter.Again
}

// next takes a whole message off the front, nil where there is none yet.
func (a *answering) next(p *filter.Piece) ([]byte, error) {
	if len(p.In) < prefix {
		if p.End != nil && len(p.In) > 0 {
			return nil, errCut
		}
		return nil, nil
	}
	size := int64(binary.BigEndian.Uint32(p.In[1:]))
	switch {
	case p.In[0] != 0:
		return nil, errors.New("the message is compressed")
	case size > a.limit:
		return nil, errors.New("the message is too large")
	case int64(len(p.In)-prefix) < size && p.End != nil:
		return nil, errCut
	case int64(len(p.In)-prefix) < size:
		return nil, nil
	}
	m := p.In[prefix : prefix+size]
	p.In = p.In[prefix+size:]
	return m, nil
}

var errCut = errors.New("the message is cut off")

// item appends one element of a stream.
func (a *answering) item(out, text []byte) []byte {
	switch {
	case a.rawOut() != nil:
		return append(out, text...)
	case a.lines:
		return append(append(out, text...), '\n')
	case a.count == 1:
		return append(append(out, '['), text...)
	}
	return append(append(out, ",\n"...), text...)
}

// end gives the last of the response. The head may still be changed where
// nothing was given before.
func (a *answering) end(x *filter.Exchange, p *filter.Piece, status *spb.Status) filter.Step {
	for i := range p.End.Fields {
		p.End.Fields[i].Dropped = true
	}
	p.In = nil
	streams := a.rule.method.IsStreamingServer()
	if status.Code == 0 && !streams && a.count == 0 {
		status = &spb.Status{Code: int32(observe.GRPCInternal), Message: "the service answered without a message"}
	}
	switch failed := status.Code != 0; {
	case failed && (!streams || a.count == 0):
		x.Response.Status = httpStatus(observe.GRPCCode(min(max(status.Code, 0), 255)))
		x.Response.SetString(wire.KeyContentType, jsonType)
		p.Out = append(append(p.Out, a.mapping.statusJSON(status)...), '\n')
	case failed && a.rawOut() != nil:
		x.Why = observe.UpstreamReset // there is no place for an error in raw content
		return filter.Failed
	case failed:
		// The status line is out: the error is the stream's last element.
		a.count++
		p.Out = a.item(p.Out, append(append([]byte(`{"error":`), a.mapping.statusJSON(status)...), '}'))
		p.Out = a.close(p.Out)
	case !streams && a.rawOut() == nil:
		p.Out = append(a.last, '\n')
	case !streams:
		p.Out = a.last
	case a.count == 0 && !a.lines && a.rawOut() == nil:
		p.Out = append(p.Out, "[]\n"...)
	default:
		p.Out = a.close(p.Out)
	}
	return filter.Passed
}

func (a *answering) close(out []byte) []byte {
	if a.lines || a.rawOut() != nil {
		return out
	}
	return append(out, "]\n"...)
}

// rawOut is the google.api.HttpBody that the response is, if it is one.
func (a *answering) rawOut() protoreflect.MessageDescriptor {
	d := a.rule.method.Output()
	if f := a.rule.answer; f != nil {
		if f.Kind() != protoreflect.MessageKind || f.IsList() || f.IsMap() {
			return nil
		}
		d = f.Message()
	}
	if isRaw(d) {
		return d
	}
	return nil
}

// text makes JSON of a response message.
func (a *answering) text(x *filter.Exchange, data []byte, first bool) ([]byte, error) {
	m := dynamicpb.NewMessage(a.rule.method.Output())
	if err := (proto.UnmarshalOptions{Resolver: a.mapping.resolver}).Unmarshal(data, m); err != nil {
		return nil, err
	}
	var of protoreflect.Message = m
	f := a.rule.answer
	if f != nil && f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() {
		of, f = m.Get(f).Message(), nil
	}
	if raw := a.rawOut(); raw != nil {
		if typ := of.Get(raw.Fields().ByName("content_type")).String(); first && typ != "" && wire.ValidValue(typ) {
			x.Response.SetString(wire.KeyContentType, typ)
		}
		return of.Get(raw.Fields().ByName("data")).Bytes(), nil
	}
	// A list or a scalar is taken out of the message that holds it.
	text, err := protojson.MarshalOptions{Resolver: a.mapping.resolver, EmitUnpopulated: f != nil}.Marshal(of.Interface())
	if err != nil || f == nil {
		return compact(text), err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	return compact(fields[f.JSONName()]), nil
}
