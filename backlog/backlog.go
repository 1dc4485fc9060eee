package backlog

import "time"

const (
	// fair is how many turns work that has begun may have in a row while fresh
	// work waits.
	fair = 15
	// window is over which time, up to twice as long, the pace is measured: processor
	// quotas (cgroups) stop a process for up to 100 ms at a time.
	window = 200 * time.Millisecond
	// fading is what a window keeps of what it knows of the steps of work: some of it
	// begins together, and is continued together.
	fading = 0.75
	// few is of how many turns the pace is known.
	few = 4
	// keep is how long a queue's memory may be to be kept, in items.
	keep = 1024
)

// Backlog is work that waits for its turn. It is for one goroutine.
type Backlog[T any] struct {
	begun, fresh queue[T]
	row          int // turns of begun work in a row while fresh work waited

	// The pace: so many were taken from since on, and before in the window before that,
	// which began at from.
	from, since   time.Duration
	before, taken int
	// Turns, and those of fresh work, lately: the steps that work takes. It is kept from
	// one busy period to the next, in which work begins before it is continued.
	turns, begins float64
}

// queue is a list from which is taken at the front.
type queue[T any] struct {
	items []item[T]
	next  int
}

type item[T any] struct {
	v  T
	at time.Duration
}

func (q *queue[T]) len() int { return len(q.items) - q.next }

func (q *queue[T]) add(v T, now time.Duration) {
	if q.next > 0 && len(q.items) == cap(q.items) && q.next >= len(q.items)/2 {
		n := copy(q.items, q.items[q.next:])
		clear(q.items[n:])
		q.items, q.next = q.items[:n], 0
	}
	q.items = append(q.items, item[T]{v, now})
}

func (q *queue[T]) take() item[T] {
	i := q.items[q.next]
	q.items[q.next] = item[T]{}
	if q.next++; q.next == len(q.items) {
		if cap(q.items) > keep {
			q.items = nil
		}
		q.items, q.next = q.items[:0], 0
	}
	return i
}

// Begun adds work that something was spent on already.
func (b *Backlog[T]) Begun(v T, now time.Duration) {
	b.begin(now)
	b.begun.add(v, now)
}

// Fresh adds work that nothing was spent on.
func (b *Backlog[T]) Fresh(v T, now time.Duration) {
	b.begin(now)
	b.fresh.add(v, now)
}

// begin is called before something is added.
func (b *Backlog[T]) begin(now time.Duration) {
	if b.Len() == 0 {
		b.from, b.since, b.before, b.taken, b.row = now, now, 0, 0, 0
	}
}

// Len is how much waits.
func (b *Backlog[T]) Len() int { return b.begun.len() + b.fresh.len() }

// Next takes what is to be done next; ok is false when nothing waits.
func (b *Backlog[T]) Next(now time.Duration) (v T, ok bool) {
	if b.Len() == 0 {
		return v, false
	}
	if now-b.since >= window {
		b.from, b.before = b.since, b.taken
		b.since, b.taken = now, 0
		b.turns *= fading
		b.begins *= fading
	}
	b.taken++
	b.turns++
	if b.begun.len() > 0 && (b.fresh.len() == 0 || b.row < fair) {
		if b.row++; b.fresh.len() == 0 {
			b.row = 0
		}
		return b.begun.take().v, true
	}
	b.row = 0
	b.begins++
	return b.fresh.take().v, true
}

// Wait is how long fresh work that came now would wait: as long as all that waits,
// and so much more that is about to come, takes, with the steps that follow it, at
// the pace of the last tenths of a second. Where that is not known it is how long the
// first of them has waited. It is 0 when no fresh work waits.
func (b *Backlog[T]) Wait(now time.Duration, more int) time.Duration {
	n := b.fresh.len()
	if n == 0 {
		return 0
	}
	taken := b.before + b.taken
	if taken < few || b.begins < 1 {
		return now - b.fresh.items[b.fresh.next].at
	}
	return time.Duration(float64(now-b.from) / float64(taken) * b.turns / b.begins * float64(n+more))
}
