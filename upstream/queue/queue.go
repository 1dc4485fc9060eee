// Package queue keeps those who wait for their turn at a service, and decides who
// goes next and who has waited long enough.
//
// # Words
//
// A Waiter is one of them; its rank says how much it matters. The queue stands
// while it has not been empty for as long as one may wait: then it is no burst
// that passes, the service has too much to do.
//
// # Life
//
// A Queue belongs to one loop, and so does all that is in it. Its owner has a
// Waiter Join, calls those that Next gives when something has become free, and
// those that Late gives when Due has come; it takes each out by Leave before it
// tells it anything. A Waiter that could not be served after all goes back to its
// place by Rejoin.
//
// # Rules
//
// The higher rank goes first, always. Of one rank the first who came goes first,
// so that a burst is served in its order; while the queue stands it is the last
// who came, and all but the highest rank may wait a twentieth of the time only.
// That is the adaptive LIFO and the controlled delay of Facebook (B. Maurer, Fail
// at Scale, ACM Queue 13.8, 2015): when not all can be served, those who have
// waited long are those whose callers have given up. In a standing queue that
// goes by arrival everybody would be served too late.
//
// Time is an argument. Nothing here locks or allocates.
//
// # Not here
//
// What is waited for, and the bound on how many wait (package upstream).
package queue

import "time"

// Rank is how much a Waiter matters; 0 goes last.
type Rank uint8

// Ranks is how many there are.
const Ranks = 3

// hurry is what of the time remains to wait while the queue stands: a part of it.
const hurry = 20

// Handler is who waits. It is called on the queue's loop, from its top.
type Handler interface {
	// OnTurn: something has become free.
	OnTurn()
	// OnInVain: it has waited long enough, or had to make room for what matters more.
	OnInVain()
}

// Waiter is somebody's place in a Queue. The zero value with a Handler is ready,
// and belongs to no Queue.
type Waiter struct {
	Handler Handler
	// For is what is waited for; it is the owner's.
	For          uint8
	newer, older *Waiter
	since        time.Duration
	rank         Rank
	in           bool
}

// Waits says whether it is in a Queue.
func (w *Waiter) Waits() bool { return w.in }

// Rank is the one that it joined with.
func (w *Waiter) Rank() Rank { return w.rank }

// Queue is a list for each rank. Its zero value is empty.
type Queue struct {
	lists  [Ranks]struct{ newest, oldest *Waiter }
	count  int
	stands time.Duration // when somebody came and nobody was here
}

// Len is how many wait.
func (q *Queue) Len() int { return q.count }

// Best is one more than the highest rank that waits, 0 where nobody does.
func (q *Queue) Best() int {
	for r := Ranks - 1; r >= 0; r-- {
		if q.lists[r].oldest != nil {
			return r + 1
		}
	}
	return 0
}

// Join takes w in at now. It must not be in a Queue.
func (q *Queue) Join(now time.Duration, w *Waiter, rank Rank) {
	if q.count == 0 {
		q.stands = now
	}
	w.since, w.rank = now, min(rank, Ranks-1)
	q.put(w)
}

// Rejoin takes w back to where it was when it left.
func (q *Queue) Rejoin(w *Waiter) { q.put(w) }

// put has a list stay in the order of arrival. Who comes, and who comes back from
// either end, belongs to an end; where others came meanwhile it is a few steps.
func (q *Queue) put(w *Waiter) {
	l := &q.lists[w.rank]
	newer := (*Waiter)(nil)
	older := l.newest
	if l.oldest != nil && w.since < l.oldest.since {
		newer, older = l.oldest, nil
	}
	for older != nil && older.since > w.since {
		newer, older = older, older.older
	}
	w.newer, w.older, w.in = newer, older, true
	if newer != nil {
		newer.older = w
	} else {
		l.newest = w
	}
	if older != nil {
		older.newer = w
	} else {
		l.oldest = w
	}
	q.count++
}

// Leave takes w out; who is in no Queue stays so.
func (q *Queue) Leave(w *Waiter) {
	if !w.in {
		return
	}
	l := &q.lists[w.rank]
	if w.newer != nil {
		w.newer.older = w.older
	} else {
		l.newest = w.older
	}
	if w.older != nil {
		w.older.newer = w.newer
	} else {
		l.oldest = w.newer
	}
	w.newer, w.older, w.in = nil, nil, false
	q.count--
}

// Stands says whether the queue has not been empty for longer than wait.
func (q *Queue) Stands(now, wait time.Duration) bool { return q.count > 0 && now-q.stands > wait }

// Next is who goes next, nil where nobody waits. One may wait for wait.
func (q *Queue) Next(now, wait time.Duration) *Waiter {
	best := q.Best()
	if best == 0 {
		return nil
	}
	l := &q.lists[best-1]
	if q.Stands(now, wait) {
		return l.newest
	}
	return l.oldest
}

// Late is one that has waited long enough, nil where there is none.
func (q *Queue) Late(now, wait time.Duration) *Waiter {
	for r := range q.lists {
		if w := q.lists[r].oldest; w != nil && now-w.since >= q.patience(now, wait, Rank(r)) {
			return w
		}
	}
	return nil
}

// Due is how long from now on it is no use to call Late; 0 where nobody waits.
func (q *Queue) Due(now, wait time.Duration) time.Duration {
	if q.count == 0 {
		return 0
	}
	due := q.stands + wait + 1 // when it begins to stand
	if due <= now {
		due = now + wait
	}
	for r := range q.lists {
		if w := q.lists[r].oldest; w != nil {
			due = min(due, w.since+q.patience(now, wait, Rank(r)))
		}
	}
	return max(due-now, time.Millisecond)
}

// Worst is one that matters less than rank, the least and the first of those; nil
// where there is none. It may have to make room.
func (q *Queue) Worst(rank Rank) *Waiter {
	for r := range min(rank, Ranks-1) {
		if w := q.lists[r].oldest; w != nil {
			return w
		}
	}
	return nil
}

// patience is how long one of a rank may wait.
func (q *Queue) patience(now, wait time.Duration, rank Rank) time.Duration {
	if rank < Ranks-1 && q.Stands(now, wait) {
		return wait / hurry
	}
	return wait
}
