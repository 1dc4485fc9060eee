package upstream

import (
	"sync/atomic"
	"time"

	"github.com/naru-mesh/naru/model"
	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/upstream/budget"
	"github.com/naru-mesh/naru/wire"
)

// Cause is why a try was made after the first.
type Cause uint8

const (
	NoCause Cause = iota
	// Closed: a pooled connection turned out to be closed.
	Closed
	// Unconnected: no connection could be made.
	Unconnected
	// Reset: the connection ended before a response.
	Reset
	// TimedOut: there was no response head in time.
	TimedOut
	// Status and GRPCStatus: the response was one that is tried again.
	Status
	GRPCStatus
	// Hedged: the first try took long, and this one was made beside it.
	Hedged
	// Fallback: the new version of a rollout could not be asked, and this service,
	// which served before, is.
	Fallback

	causes
)

// String is the cause's name in metrics and records, "" for NoCause.
func (c Cause) String() string { return causeNames[c] }

var causeNames = [causes]string{"", "closed", "unconnected", "reset", "timeout", "status", "grpc_status", "hedge", "fallback"}

// Causes are all but NoCause.
func Causes() (list []Cause) {
	for c := Closed; c < causes; c++ {
		list = append(list, c)
	}
	return list
}

// noRetries are why a try was not made that a rule would have allowed.
var noRetries = [...]observe.Reason{observe.RetryBudget, observe.RetryLate, observe.RetryAfter, observe.RetryLimit, observe.RetryBody}

// NoRetries are the reasons of RetryStats.Refused, in its order.
func NoRetries() [len(noRetries)]observe.Reason { return noRetries }

// retries are one loop's figures. They change seldom, so locked additions cost
// nothing that counts.
type retries struct {
	made, won [causes]atomic.Uint64
	refused   [len(noRetries)]atomic.Uint64
	_         [64]byte // loops stay off each other's cache lines
}

// RetryStats are figures of the tries after the first.
type RetryStats struct {
	// Made is how many there were, by Cause; Won is how many of them brought an
	// answer that was not tried again.
	Made, Won [causes]uint64
	// Refused is how many were not made, by NoRetries.
	Refused [len(noRetries)]uint64
}

// Asked counts a flow in the budget; it is called on l before its first try. For a
// request Pick does so.
func (c *Cluster) Asked(l wire.Loop) { c.count(&c.cursors[l.Index()], l.Now()) }

// count counts a request: most of them where the loop has to look anyway.
func (c *Cluster) count(cur *cursor, now time.Duration) {
	if cur.asked++; cur.asked >= budget.Batch || now >= cur.until {
		c.deposit(cur, now)
	}
}

// deposit gives the budget what count has.
func (c *Cluster) deposit(cur *cursor, now time.Duration) {
	cur.until = c.budget.Load().Deposit(int(cur.loop), now, int(cur.asked))
	cur.asked = 0
}

// Again says whether the budget and the limit of retries allow another try, which
// is counted as made then, and runs until RetryEnded; otherwise it is counted as
// refused, and one of NoRetries says why. It is called on l.
func (c *Cluster) Again(l wire.Loop, why Cause) observe.Reason {
	if n, most := c.retrying.Add(1), c.plan.Load().set.bounds.retries; most > 0 && n > most {
		c.retrying.Add(-1)
		c.limited[LimitRetries].Add(1)
		c.NotAgain(l, observe.RetryLimit)
		return observe.RetryLimit
	}
	c.deposit(&c.cursors[l.Index()], l.Now())
	if !c.budget.Load().Withdraw(l.Index(), l.Now()) {
		c.retrying.Add(-1)
		c.NotAgain(l, observe.RetryBudget)
		return observe.RetryBudget
	}
	c.Free(l, why)
	return observe.ReasonNone
}

// RetryEnded says that a try that Again has allowed has its answer, or will have
// none.
func (c *Cluster) RetryEnded() { c.retrying.Add(-1) }

// Free counts another try that costs the service nothing: it has seen nothing of
// the one before, nor was a connection made for that.
func (c *Cluster) Free(l wire.Loop, why Cause) { c.retries[l.Index()].made[why].Add(1) }

// NotAgain counts that another try was not made, for one of NoRetries.
func (c *Cluster) NotAgain(l wire.Loop, why observe.Reason) {
	for i, r := range noRetries {
		if r == why {
			c.retries[l.Index()].refused[i].Add(1)
		}
	}
}

// Won counts that a try that was made for why brought the answer.
func (c *Cluster) Won(l wire.Loop, why Cause) { c.retries[l.Index()].won[why].Add(1) }

// rebudget gives the cluster the budget of svc, unless it has it.
func (c *Cluster) rebudget(svc *model.Service) {
	b := svc.RetryBudget.Filled()
	set := budget.Settings{Percent: b.Percent, MinPerSecond: b.MinPerSecond, TTL: b.TTL}
	if old := c.budget.Load(); old == nil || old.Settings() != set {
		c.budget.Store(budget.New(set, len(c.owner.loops)))
	}
}

// retryStats adds up what the loops counted.
func (c *Cluster) retryStats() (s RetryStats) {
	for i := range c.retries {
		r := &c.retries[i]
		for j := range r.made {
			s.Made[j] += r.made[j].Load()
			s.Won[j] += r.won[j].Load()
		}
		for j := range r.refused {
			s.Refused[j] += r.refused[j].Load()
		}
	}
	return s
}
