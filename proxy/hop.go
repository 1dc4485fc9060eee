package proxy

import (
	"bytes"
	"errors"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// keyProxyStatus is the field by which a proxy says that an answer is its own
// (RFC 9209). hopName begins what ours are called in it.
var (
	keyProxyStatus = wire.KeyOf("Proxy-Status")
	keyRetryAfter  = wire.KeyOf("Retry-After")
	hopName        = []byte(`"naru/`)
	inboundName    = []byte(`"naru/` + string(model.Inbound))
	inboundHop     = []byte(`"naru/` + string(model.Inbound) + `"`) // of which no workload is known
	hopDetails     = []byte(`; details="`)
)

// hopOf is what a door of the mesh is called in Proxy-Status, nil where l is none:
// "naru/inbound/shop/orders-1" answers for the workload that is called.
func hopOf(l *model.Listener) []byte {
	m := l.Mesh
	if m == nil {
		return nil
	}
	name := string(hopName) + string(m.Side)
	if m.Workload != "" {
		name += "/" + m.Workload
	}
	return []byte(name + `"`)
}

// sign says on an answer that a door of the mesh has made that it has: a call
// goes through two proxies, and the body says what was wrong, not where.
func (x *exchange) sign() {
	hop := []byte(nil)
	switch {
	case x.listener != nil:
		hop = x.listener.hop
	case x.Peer.TLS != nil && x.Peer.TLS.Identity != "":
		hop = inboundHop // by mutual TLS one comes to such a door alone
	}
	if hop == nil || x.Why == observe.ReasonNone || onPurpose(x.Why) {
		return
	}
	w := x.w
	w.out = append(append(w.out[:0], hop...), "; error="...)
	w.out = append(append(w.out, proxyError(x.Why)...), hopDetails...)
	w.out = append(append(w.out, x.Why.String()...), '"')
	x.Response.Set(keyProxyStatus, w.out)
}

// proxyError is the type of a reason (RFC 9209, section 2.3).
func proxyError(why observe.Reason) string {
	switch why {
	case observe.NoEndpoint, observe.Overloaded, observe.PortRemoved, observe.Draining:
		return "destination_unavailable"
	case observe.NoListener, observe.NoRoute, observe.NoMethod, observe.NoFlow, observe.OutboundPort, observe.Misdirected:
		return "destination_not_found"
	case observe.ConnectRefused:
		return "connection_refused"
	case observe.ConnectTimeout:
		return "connection_timeout"
	case observe.ConnectFailed:
		return "destination_ip_unroutable"
	case observe.UpstreamStreamReset:
		return "http_response_incomplete"
	case observe.UpstreamReset:
		return "connection_terminated"
	case observe.UpstreamTLS, observe.UpstreamIdentity, observe.NoIdentity:
		return "tls_certificate_error"
	case observe.UpstreamBadResponse, observe.UpstreamBadMessage:
		return "http_protocol_error"
	case observe.UpstreamHeadTooLarge:
		return "http_response_header_section_size"
	case observe.UpstreamTimeout, observe.RequestTimeout:
		return "http_response_timeout"
	case observe.PolicyDenied, observe.BadPassport, observe.PlaintextRefused, observe.OutboundUnproven, observe.OutboundRefused:
		return "http_request_denied"
	case observe.TooManyConnections, observe.TooManyFromCaller, observe.TooManyStreams:
		return "connection_limit_reached"
	}
	switch s := why.Info().Status; {
	case s >= 400 && s < 500:
		return "http_request_error"
	case why == observe.InvalidBackend, why == observe.InvalidFilter, why == observe.NoBackend, why == observe.NoProgram:
		return "proxy_configuration_error"
	}
	return "proxy_internal_error"
}

// unseen says whether h is the answer of a door of the mesh, the endpoint's, that
// could not bring the request to the workload: that has left, or nothing listens
// there. It has seen nothing of the request, so any may be sent to another one,
// whatever its method. Only who has proved an identity is believed.
func unseen(ep *upstream.Endpoint, h *wire.Head) bool {
	if ep == nil || ep.Identity() == "" {
		return false
	}
	v, ok := h.Get(keyProxyStatus)
	if !ok || !bytes.HasPrefix(v, inboundName) {
		return false
	}
	_, why, _ := bytes.Cut(v, hopDetails)
	why, ok = bytes.CutSuffix(why, []byte{'"'})
	if !ok {
		return false
	}
	switch string(why) {
	case observe.ConnectRefused.String(), observe.ConnectTimeout.String(), observe.ConnectFailed.String(),
		observe.NoEndpoint.String(), observe.Misdirected.String(), observe.PortRemoved.String(), observe.NoListener.String():
		return true
	}
	return false
}

// turnAway refuses a request that came through a tunnel to a workload that has left.
// Nothing else can come that way, so the connection ends. Its client has kept it, and
// must bear that it ends at any time: what may be sent twice it sends again by
// itself (RFC 9112 section 9.3.1), so that it gets no answer. Of all else it is told
// that nobody has seen it.
func (x *exchange) turnAway(why observe.Reason) {
	if idempotent(x.Request.Method) {
		x.Why = why
		x.stream.Reset(why)
		x.finish()
		return
	}
	x.w.parting = true
	x.refuse(why)
	x.w.parting = false
}

// signed reads who of the mesh has answered in place of the service: for the
// access log, if there is one. Clients of a gateway are not told, and so not of
// the names of what is behind it.
func (x *exchange) signed() {
	v, ok := x.Response.Get(keyProxyStatus)
	if !ok || !bytes.HasPrefix(v, hopName) {
		return
	}
	if x.w.proxy.recorder.Load() != nil {
		x.detail = errors.New("answered on the way: " + string(v))
	}
	if x.listener.hop == nil {
		x.Response.Remove(keyProxyStatus)
	}
}
