package proxy

import (
	"syscall"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream"
	"github.com/naru-mesh/naru/wire"
)

// stats are those of the only service.
func (w *world) stats() (st upstream.ServiceStats) {
	w.set.Stats(func(s *upstream.ServiceStats) { st = *s })
	return st
}

// again makes another connection to the flow's port.
func (w *world) again(like *pipeEnd) *pipeEnd {
	c := &pipeEnd{loop: w.loops[0], peer: like.peer}
	w.driver.on(5432).accept(c, false)
	return c
}

// TestConversationPaysForTries: another endpoint is tried within the service's
// budget of retries.
func TestConversationPaysForTries(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, func(c *model.Config) {
		c.Services[0].RetryBudget = &model.RetryBudget{Percent: -1, MinPerSecond: 1}
		c.Services[0].Ejection = &model.Ejection{Off: true}
	})
	refused := &wire.DialError{Err: syscall.ECONNREFUSED}
	tries := 0
	for range 40 {
		n := len(*dialled)
		(*dialled)[n-1].handler.OnClose(refused)
		if len(*dialled) > n {
			tries++
			(*dialled)[n].handler.OnClose(refused)
		}
		retried, not := "unconnected", observe.ReasonNone
		if len(*dialled) == n {
			retried, not = "", observe.RetryBudget
		}
		if r := w.last; r.Reason != observe.ConnectRefused || r.Retried != retried || r.NotRetried != not {
			t.Errorf("record %+v", r)
		}
		client = w.again(client)
	}
	client.handler.OnClose(syscall.ECONNRESET)
	st := w.stats()
	if tries < 5 || tries > 15 || int(st.Retries.Made[upstream.Unconnected]) != tries || int(st.Retries.Refused[0]) != 40-tries {
		t.Errorf("%d of 40 tried another endpoint, counted %v, refused %v", tries, st.Retries.Made, st.Retries.Refused)
	}
	// A limit of retries counts until the connection stands.
	w, client, dialled = talk(t, func(c *model.Config) { c.Services[0].Limits = &model.ServiceLimits{Retries: 1} })
	for i := range 2 {
		(*dialled)[len(*dialled)-1].handler.OnClose(refused)
		if len(*dialled) != 2*(i+1) {
			t.Fatalf("connection %d: %d dialled", i, len(*dialled))
		}
		(*dialled)[len(*dialled)-1].handler.OnOpen()
		client = w.again(client)
	}
	if st := w.stats(); st.Retries.Won[upstream.Unconnected] != 2 || st.Limited[upstream.LimitRetries] != 0 {
		t.Errorf("won %v, limited %v", st.Retries.Won, st.Limited)
	}
}

// TestConversationTellsOfItsEndpoint: a reset before any byte is a failure, the
// first byte a success; what comes afterwards says nothing.
func TestConversationTellsOfItsEndpoint(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, nil)
	for i, does := range []func(service, client *pipeEnd){
		func(service, _ *pipeEnd) { service.handler.OnClose(syscall.ECONNRESET) },
		func(service, _ *pipeEnd) {
			service.handler.OnData([]byte("x"))
			service.handler.OnData([]byte("y"))
			service.handler.OnClose(syscall.ECONNRESET)
		},
		func(_, client *pipeEnd) { client.handler.OnClose(syscall.ECONNRESET) },
		func(service, client *pipeEnd) { // whoever goes first is not blamed
			client.handler.OnEOF()
			service.handler.OnClose(syscall.ECONNRESET)
		},
	} {
		if i > 0 {
			client = w.again(client)
		}
		service := (*dialled)[len(*dialled)-1]
		service.handler.OnOpen()
		client.handler.OnData([]byte("question"))
		does(service, client)
	}
	if got := w.results(); got["broken"] != 1 || got["answered"] != 1 || len(got) != 2 {
		t.Errorf("told %v", got)
	}
	// Five in a row, while the other endpoint answers: it is ejected.
	bad := (*dialled)[0].peer.Remote
	for range 40 {
		client = w.again(client)
		service := (*dialled)[len(*dialled)-1]
		service.handler.OnOpen()
		if service.peer.Remote == bad {
			service.handler.OnClose(syscall.ECONNRESET)
		} else {
			service.handler.OnData([]byte("x"))
			client.handler.OnClose(syscall.ECONNRESET)
		}
		w.loops[0].pass(50 * time.Millisecond)
	}
	deadline := time.Now().Add(20 * time.Second) // it is judged on another goroutine
	for {
		ejected := map[string]uint64{} // it may be back by now: a probe opens, and says no more
		for _, ep := range w.stats().Endpoints {
			for _, n := range ep.Ejections { // for failures in a row, or for their share
				if n > 0 {
					ejected[ep.Addr.String()] = n
				}
			}
		}
		if ejected[bad.String()] > 0 && len(ejected) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ejected were %v", ejected)
		}
		w.again(client).handler.OnClose(syscall.ECONNRESET)
		w.loops[0].pass(50 * time.Millisecond)
	}
}

// TestConversationOfNobody: the log says why there is no endpoint.
func TestConversationOfNobody(t *testing.T) {
	t.Parallel()
	w, _, dialled := talk(t, func(c *model.Config) { c.Services[0].Endpoints = nil })
	if r := w.last; len(*dialled) != 0 || r.Reason != observe.NoEndpoint || r.Detail == nil || r.Detail.Error() != "the service's list of endpoints is empty" || r.Endpoint.IsValid() {
		t.Errorf("%d dialled, record %+v", len(*dialled), r)
	}
}

// TestConversationMeetsALimit: it is refused at once, and the log says of what.
func TestConversationMeetsALimit(t *testing.T) {
	t.Parallel()
	w, client, dialled := talk(t, func(c *model.Config) { c.Services[0].Limits = &model.ServiceLimits{Connections: 1} })
	(*dialled)[0].handler.OnOpen()
	other := w.again(client)
	if r := w.last; other.how != "reset" || r.Reason != observe.Overloaded || r.Detail != upstream.LimitConnections.Err() {
		t.Errorf("%q, record %+v", other.how, r)
	}
	client.handler.OnClose(syscall.ECONNRESET)
	w.again(client)
	if len(*dialled) != 2 {
		t.Error("the end of the first makes no room")
	}
}
