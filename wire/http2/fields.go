package http2

import "github.com/naru-mesh/naru/wire"

// fieldReader is wire's reader of heads as a sink of fields. Of a request it
// also reads the priority.
type fieldReader struct {
	wire.HeadReader
	stream *stream
}

// field is fieldSink's.
func (r *fieldReader) field(name, value []byte, never bool) bool {
	if !r.Field(name, value, never) {
		return false
	}
	if r.stream != nil && len(name) == 8 && string(name) == "priority" {
		r.stream.prioritize(value)
	}
	return true
}

func (m *session) headBounds() wire.HeadBounds {
	if m.client {
		return wire.HeadBounds{Bytes: maxResponseHead, Fields: maxResponseFields, URI: -1}
	}
	return wire.HeadBounds{Bytes: m.lim.HeadBytes, Fields: m.lim.Fields, URI: m.lim.URIBytes, Connect: m.lim.Connect}
}
