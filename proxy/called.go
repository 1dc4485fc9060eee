package proxy

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/naru-mesh/naru/observe"
)

// anyPort is the port under which listener.names has each name once more: the
// first target that is called so.
const anyPort = 0

// longName is more than a DNS name, a colon and a port (RFC 1035 section 2.3.4).
const longName = 300

// called finds by the name and the port that an explicit client asks for which
// service it means, and gives the host by which the table knows that. A port that
// is said must be right: the service would be taken for what listens there. Where
// none is, the one at 80 is meant, else the first of that name. room is for what
// is looked up.
func (l *listener) called(authority, room []byte) (host []byte, wrong error) {
	name, number, said := authority, uint16(80), false
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && i < len(authority)-1 && authority[len(authority)-1] != ']' {
		name, number = split(authority)
		said = true
	}
	name = bytes.TrimSuffix(name, []byte(":"))
	if number != anyPort {
		if t := l.targets[l.names[string(appendName(room[:0], name, number))]]; t != nil {
			return t.host, nil
		}
	}
	if said {
		return authority, l.elsewhere(name, number, room)
	}
	if t := l.targets[l.names[string(appendName(room[:0], name, anyPort))]]; t != nil {
		return t.host, nil
	}
	return authority, nil
}

// elsewhere says at which ports a name is called, of a service, that is not called
// at this one; nil where the name is none of a service, or the port is right.
func (l *listener) elsewhere(name []byte, number uint16, room []byte) error {
	if _, ok := l.names[string(appendName(room[:0], name, anyPort))]; !ok {
		return nil
	}
	if _, ok := l.names[string(appendName(room[:0], name, number))]; ok && number != anyPort {
		return nil // it takes no requests
	}
	lower := strings.ToLower(strings.TrimSuffix(string(name), "."))
	var ports []uint16
	for _, n := range l.noun.Mesh.Names {
		if n.Name == lower && !slices.Contains(ports, n.Port) {
			ports = append(ports, n.Port)
		}
	}
	slices.Sort(ports)
	text := lower + " is called at port "
	if len(ports) > 1 {
		text = lower + " is called at ports "
	}
	for i, p := range ports {
		if i > 0 {
			text += ", "
		}
		text += strconv.Itoa(int(p))
	}
	return errors.New(text + ", and not at " + strconv.Itoa(int(number)))
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

// atPort says whether an explicit request is for what is called at its port, and
// by which host its table knows that.
func (x *exchange) atPort(l *listener, host []byte) ([]byte, observe.Reason) {
	if l.names == nil || x.Peer.Original.IsValid() {
		return host, observe.ReasonNone
	}
	if cap(x.w.tmp) < longName {
		x.w.tmp = make([]byte, 0, longName)
	}
	host, x.detail = l.called(x.Request.Authority, x.w.tmp)
	if x.detail != nil {
		return nil, observe.OutboundPort
	}
	return host, observe.ReasonNone
}
