package grpcweb

import (
	"bytes"
	"encoding/base64"
	"sync"

	"github.com/naru-mesh/naru/filter"
	"github.com/naru-mesh/naru/observe"
)

// decoder makes bytes of base64. Clients send groups of four letters, with
// padding wherever they flushed; a piece may end within a group.
type decoder struct{}

// groups is what one call decodes: the bytes fit the room.
const groups = filter.RoomBytes / 3 * 4

func (decoder) Pass(x *filter.Exchange, p *filter.Piece) filter.Step {
	n := min(len(p.In)/4*4, groups)
	in := p.In[:n]
	p.In = p.In[n:]
	last := p.End != nil && len(p.In) < 4
	if last {
		// Padding at the end may be missing, as in much that calls itself base64.
		in, p.In = in[:n+len(p.In)], nil
	}
	if bytes.IndexByte(in, '\n') >= 0 || bytes.IndexByte(in, '\r') >= 0 {
		// The library skips line ends, and then the groups are others.
		x.Refuse(observe.BadMessage)
		return filter.Failed
	}
	for len(in) > 0 {
		n := len(in)
		if i := bytes.IndexByte(in, '='); i >= 0 {
			n = min(i/4*4+4, n) // padded before the end
		}
		code := base64.StdEncoding
		if n%4 != 0 {
			code = base64.RawStdEncoding
		}
		out, err := code.AppendDecode(p.Out, in[:n])
		if err != nil {
			x.Refuse(observe.BadMessage)
			return filter.Failed
		}
		p.Out, in = out, in[n:]
	}
	if len(p.In) >= 4 {
		return filter.Again
	}
	return filter.Passed
}

func (decoder) Close() {}

// encoder puts the trailers behind the body, and makes base64 of it for those
// who want that.
type encoder struct {
	text  bool
	frame []byte // of the trailers
}

// encoders are used again: a call needs one for its response.
var encoders = sync.Pool{New: func() any { return new(encoder) }}

func (e *encoder) open(text bool) *encoder {
	e.text, e.frame = text, e.frame[:0]
	return e
}

func (e *encoder) Close() { encoders.Put(e) }

// octets is what one call encodes: the letters fit the room. It is a multiple
// of three, so that only the last letters of a piece are padded. They have to
// be: a message that waited for its last letters would come with the next one.
const octets = filter.RoomBytes / 4 * 3 / 3 * 3

func (e *encoder) Pass(_ *filter.Exchange, p *filter.Piece) filter.Step {
	if len(p.In) > 0 {
		if n := min(len(p.In), octets); e.text {
			p.Out = base64.StdEncoding.AppendEncode(p.Out, p.In[:n])
			p.In = p.In[n:]
		} else {
			p.Out, p.In = p.In, nil
		}
		if len(p.In) > 0 || p.End != nil {
			return filter.Again
		}
		return filter.Passed
	}
	if p.End == nil {
		return filter.Passed
	}
	e.frame = appendTrailers(e.frame[:0], p.End)
	if e.text {
		p.Out = base64.StdEncoding.AppendEncode(p.Out, e.frame)
	} else {
		p.Out = e.frame
	}
	return filter.Passed
}
