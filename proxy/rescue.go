package proxy

import (
	"runtime/debug"

	"github.com/naru-mesh/naru/observe"
)

// rescue is deferred by every entry from a codec or a timer that runs filters.
// A panic is a defect, but it is one request's: the client gets 500, and the
// connections go on.
//
// It cannot be left to the loop. That ends the connection whose event it was,
// which on the way back is the service's: the client would wait for ever.
func (x *exchange) rescue() {
	r := recover()
	if r == nil {
		return
	}
	name := ""
	if x.rule != nil {
		name = x.rule.noun.Name
	}
	x.w.proxy.opt.Log.Error("panic while serving a request", "loop", x.w.index, "route", name, "panic", r, "stack", string(debug.Stack()))
	if x.live {
		x.crash()
	}
}

// crash ends an exchange in whatever state it is. It is not used again:
// nobody knows who still holds it.
func (x *exchange) crash() {
	defer x.end()
	x.Why = observe.Internal
	if x.answered {
		x.stream.Reset(observe.Internal)
		return
	}
	x.answered = true
	x.dropOut()
	x.w.shelf.Lend(&x.Response)
	x.Refuse(observe.Internal)
	x.status = x.Response.Status
	x.say()
}
