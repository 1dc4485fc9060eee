package proxy

import (
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// refuse answers with the problem document of why.
func (x *exchange) refuse(why observe.Reason) {
	x.w.shelf.Lend(&x.Response)
	x.Refuse(why)
	if why == observe.OutboundPort {
		x.detailed()
	}
	if why == observe.OutboundUnproven { // RFC 9110 section 15.5.8
		x.Response.AddString(proxyAuthenticate, `Basic realm="naru"`)
	}
	switch why { // RFC 9110 section 10.2.3
	case observe.Overloaded, observe.ProxyOverloaded:
		x.Response.AddString(keyRetryAfter, "1")
	case observe.ShapeFull:
		x.Response.Add(keyRetryAfter, x.retryAfter())
	}
	x.reply()
}

// reply sends the answer that a filter or refuse has made.
func (x *exchange) reply() {
	x.cancel()
	x.dropOut()
	x.asStatus()
	if x.RPC != wire.NoRPC {
		x.called(&x.Response, false)
	}
	x.sign()
	x.ascend()
	x.settle()
	if x.say(); x.live {
		x.finish()
	}
}

// say sends the answer in Response and Body.
func (x *exchange) say() {
	body := x.Body
	if string(x.Request.Method) == "HEAD" {
		body = nil
	}
	if len(x.Outward) > 0 {
		x.out = x.w.pipe(x, x.Outward, true)
		x.out.own = true
		x.out.feed(body, true, nil)
		return
	}
	x.stream.Respond(&x.Response, body, true)
}

// ascend runs the response halves of the filters: the backend's, if one was
// chosen, then the rule's.
func (x *exchange) ascend() {
	if x.backend != nil && x.backend.chain != nil {
		x.backend.chain.OnResponse(&x.Exchange)
	}
	if x.rule != nil {
		x.rule.chain.OnResponse(&x.Exchange)
	}
	if len(x.Upgrade) > 0 && x.Request.Minor >= 2 && x.Response.Status/100 == 2 {
		// A service of HTTP/1.1 that does not know the protocol answers as if it had
		// not been asked for it. By HTTP/2 that would be to agree (RFC 8441 section
		// 5), and this says that it does not (RFC 9220 section 3).
		x.Response.Status = 501
	}
	x.status = x.Response.Status
}

// OnInform passes an interim response on.
func (x *exchange) OnInform(h *wire.Head) {
	if x.Request.Minor >= 1 {
		x.stream.Inform(h)
	}
}

// OnResponse is the ascent: the filters in reverse, then the client.
func (x *exchange) OnResponse(data []byte, end bool) {
	defer x.rescue()
	x.tryTimer.Stop()
	if x.upstream == 0 && x.rule.trials != nil {
		t, arm := x.trial()
		t.Headed(arm)
	}
	x.upstream = max(x.w.loop.Now()-x.asked, 1) // 0 is none yet
	if end {
		x.client = nil
	}
	if x.coded = false; x.GRPC {
		x.called(&x.Response, end)
	}
	unseen := (x.Response.Status >= 400 || x.coded) && unseen(x.endpoint, &x.Response)
	if unseen {
		x.told(upstream.Broken) // whatever the status: nobody was there
	} else {
		x.told(upstream.Answered)
	}
	if g := x.rule.hedge; g != nil && x.cause == upstream.NoCause {
		g.seen[x.w.index].observe(x.upstream, g.quantile)
	}
	if undone := x.undone(end); (undone || unseen) && (x.succeed() || unseen && (x.afresh(data, end) || x.fallsUnseen()) || undone && x.anew(data, end)) {
		return
	}
	x.bring(data, end)
}

// bring passes the answer in Response on.
func (x *exchange) bring(data []byte, end bool) {
	if x.cause != upstream.NoCause && x.Response.Status < 500 && !(x.coded && upstream.ServerFault(int(x.code))) {
		x.backend.cluster.Won(x.w.loop, x.cause)
	}
	x.detail = nil // of a try before this one
	if x.Response.Status >= 400 || x.GRPC {
		x.signed()
	}
	x.remind()
	x.ascend()
	if !end {
		x.flow()
	}
	if x.shaped != nil && x.status != 101 && (!end || len(data) > 0) {
		x.brakeResponse()
	}
	if len(x.Outward) > 0 {
		if x.status != 101 {
			x.out = x.w.pipe(x, x.Outward, true)
			if x.out.feed(data, end, nil); end && x.live {
				x.bound()
			}
			return
		}
		x.dropOut()
		x.dropIn()
	}
	x.settle()
	if end {
		x.stream.Respond(&x.Response, data, true)
		x.finish()
		return
	}
	x.stream.Respond(&x.Response, data, false)
	x.throttle()
}

// OnResponseData passes on more of the body.
func (x *exchange) OnResponseData(data []byte, end bool) {
	if x.former != nil {
		x.more(data, end)
		return
	}
	if !end {
		x.stir()
	} else if x.client = nil; x.GRPC {
		x.called(&x.Response, true)
	}
	if x.out != nil {
		x.out.feed(data, end, nil)
		return
	}
	if end {
		x.stream.Data(data, true)
		x.finish()
		return
	}
	x.stream.Data(data, false)
	x.throttle()
}

// OnResponseTrailers ends the response.
func (x *exchange) OnResponseTrailers(t *wire.Head) {
	if x.former != nil {
		x.more(nil, true) // a recipient must be able to bear that they are missing
		return
	}
	x.client = nil
	if x.GRPC {
		x.called(t, true)
	}
	if x.out != nil {
		x.out.feed(nil, true, t)
		return
	}
	x.stream.Trailers(t)
	x.finish()
}

// throttle stops the service while the client is behind.
func (x *exchange) throttle() {
	if x.stream.Buffered() > highWater && x.client != nil {
		x.client.Pause()
	}
}

// OnResponseDrained lets the service send on.
func (x *exchange) OnResponseDrained() {
	if x.tunnelled != nil {
		x.tunnelled.OnResponseDrained()
		return
	}
	if x.out != nil && !x.out.resume() {
		return
	}
	if x.client != nil {
		x.client.Resume()
	}
}
