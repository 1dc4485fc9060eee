package link

import (
	"slices"

	"github.com/naru-mesh/naru/model"
)

// mostSent bounds how many updates are remembered that a proxy has and does not
// go by yet.
const mostSent = 64

// sentUpdate is an update and how far in the catalog it leads.
type sentUpdate struct{ nonce, seq uint64 }

// note remembers an update that is being sent. x.mu is held.
func (x *session) note(nonce, seq uint64) {
	if len(x.underway) == mostSent {
		x.underway = slices.Delete(x.underway, 0, 1) // the next stands for it
	}
	x.underway = append(x.underway, sentUpdate{nonce, seq})
}

// goes takes note that the proxy goes by an update, and by all before it. x.mu is
// held.
func (x *session) goes(nonce uint64) {
	n := 0
	for n < len(x.underway) && x.underway[n].nonce <= nonce {
		x.inForce = x.underway[n].seq
		n++
	}
	x.underway = slices.Delete(x.underway, 0, n)
}

// madeUpdate is an update and the Snapshot that was made of it.
type madeUpdate struct {
	nonce   uint64
	version model.Version
}

// Serves says that the proxy goes by a Snapshot of Next now: the control plane
// waits for that before it says that a workload is not called any more. It does
// not block. Only with ClientOptions.Serves.
func (c *Client) Serves(v model.Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = v
	for i := len(c.made) - 1; i >= 0; i-- {
		if c.made[i].version == v {
			c.inForce = c.made[i].nonce
			c.made = slices.Delete(c.made, 0, i+1)
			select {
			case c.serves <- struct{}{}:
			default:
			}
			return
		}
	}
}

// making takes note of an update and what was made of it; it gives the nonce where
// that serves already. mu is held.
func (c *Client) making(nonce uint64) uint64 {
	switch {
	case !c.options.Serves || c.snapshot == nil:
		return 0
	case c.snapshot.Version == c.serving:
		c.made = c.made[:0]
		c.inForce = nonce
		return nonce
	case len(c.made) == mostSent:
		c.made = slices.Delete(c.made, 0, 1)
	}
	c.made = append(c.made, madeUpdate{nonce, c.snapshot.Version})
	return 0
}

// served is the update that the proxy goes by.
func (c *Client) served() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inForce
}
