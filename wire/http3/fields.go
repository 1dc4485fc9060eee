package http3

import "github.com/naru-mesh/naru/wire"

// fieldReader is wire's reader of heads as a sink of fields. Of a request it
// also reads the priority.
type fieldReader struct {
	wire.HeadReader
	stream *stream
}

// Field is fieldSink's.
func (r *fieldReader) Field(name, value []byte, never bool) bool {
	if !r.HeadReader.Field(name, value, never) {
		return false
	}
	if r.stream != nil && string(name) == "priority" {
		r.stream.prioritize(value)
	}
	return true
}

// prioritize reads a priority field's value (RFC 9218 section 4). Unknown
// parameters and broken ones are passed over.
func (s *stream) prioritize(v []byte) {
	urgency, incremental := int8(3), false
	for len(v) > 0 {
		var e []byte
		e, v = wire.Element(v)
		switch {
		case len(e) == 3 && e[0] == 'u' && e[1] == '=' && '0' <= e[2] && e[2] <= '7':
			urgency = int8(e[2] - '0')
		case string(e) == "i", string(e) == "i=?1":
			incremental = true
		case string(e) == "i=?0":
			incremental = false
		}
	}
	s.p.prioritize(urgency, incremental)
}
