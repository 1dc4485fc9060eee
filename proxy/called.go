package proxy

import (
	"bytes"
	"strconv"

	"github.com/naru-mesh/naru/naming"
	"github.com/naru-mesh/naru/observe"
)

// room is where a name is looked up.
func (w *worker) room() []byte {
	if cap(w.tmp) < naming.Longest {
		w.tmp = make([]byte, 0, naming.Longest)
	}
	return w.tmp[:0]
}

// atPort says whether an explicit request is for what is called at its port, and
// by which host its table knows that.
func (x *exchange) atPort(l *listener, host []byte) ([]byte, observe.Reason) {
	if l.names == nil || x.Peer.Original.IsValid() {
		return host, observe.ReasonNone
	}
	to, wrong := l.names.Authority(x.Request.Authority, x.w.room())
	if x.detail = wrong; wrong != nil {
		return nil, observe.OutboundPort
	}
	if t := l.targets[to]; t != nil {
		host = t.host
	}
	return host, observe.ReasonNone
}

// detailed puts into the answer that refuse has made what of it is not the same
// each time (RFC 9457 section 3.1.4). Clients of gRPC get the same as before.
func (x *exchange) detailed() {
	body, ok := bytes.CutSuffix(x.Body, []byte("}\n"))
	if !ok || x.detail == nil {
		return
	}
	body = append(bytes.Clone(body), `,"detail":`...)
	body = append(strconv.AppendQuoteToASCII(body, x.detail.Error()), "}\n"...)
	x.Body, x.Response.Length = body, int64(len(body))
}
