package wire

import (
	"math/bits"
	"time"
)

// Tick is the resolution of a Wheel: a Timer fires at the first multiple of
// Tick that is not before its due time. 8.4 ms leave the driver more than
// 10 ms to wake up in, within the 20 ms that Loop.Arm promises; a power of two
// makes a shift out of the division.
const Tick = time.Duration(1) << tickShift

const (
	tickShift = 23
	slotShift = 6 // 64 slots a level: one word says which are occupied
	slotMask  = 1<<slotShift - 1
	// levels of 0.54 s, 34 s, 37 min and 39 h.
	levels = 4
	top    = levels - 1
	// reach is how far ahead, in ticks, the top level can tell apart. What is
	// due later waits in its last slot and is placed anew when that comes.
	reach = 1<<(slotShift*levels) - 1<<(slotShift*top)

	levelSoon = levels     // armed with no delay: due at the next Advance
	levelDue  = levels + 1 // found due by Advance, waiting for Pop
)

// Wheel keeps the armed timers of one loop: a hierarchical timing wheel
// (Varghese and Lauck) without a clock. Arm and Disarm take constant time and
// nothing allocates. The zero Wheel is ready to use. Times are durations since
// an epoch of the caller's choice and must not run backwards.
//
// Invariant: an occupied slot of a level begins after tick, and the slots of a
// level lie within the slot of the level above that tick is in (the top level
// wraps around). So the first occupied slot of the lowest occupied level is
// the next to come.
type Wheel struct {
	tick  int64 // all slots that begin at or before it were emptied
	count int   // timers in the levels, soon and due not counted
	used  [levels]uint64
	slots [levels][1 << slotShift]timers
	soon  timers
	due   timers
}

// timers is a list in order of insertion.
type timers struct{ head, tail *Timer }

// Arm sets t to fire d after now; an armed timer is moved. With d <= 0 it is
// due at the next Advance, at whatever time that is.
func (w *Wheel) Arm(t *Timer, now, d time.Duration) {
	if t.armed {
		w.unlink(t)
	}
	t.armed = true
	if d <= 0 {
		t.due = now
		w.push(&w.soon, t, levelSoon, 0)
		return
	}
	t.due = now + d
	if w.count == 0 {
		// Nothing can be passed over, so the levels may be aligned to now:
		// the timer comes to lie as low as possible.
		w.tick = max(w.tick, int64(now)>>tickShift)
	}
	w.place(t)
}

// Disarm stops t; it does nothing when t is not armed.
func (w *Wheel) Disarm(t *Timer) {
	if t.armed {
		w.unlink(t)
		t.armed = false
	}
}

// Next is when Advance should be called: not later than the first timer is
// due, perhaps earlier (where timers must move down a level). It is 0 when
// something can be popped at once. ok is false when no timer is armed.
func (w *Wheel) Next() (at time.Duration, ok bool) {
	if w.Pending() {
		return 0, true
	}
	if w.count == 0 {
		return 0, false
	}
	_, _, tick := w.nextSlot()
	return time.Duration(tick) << tickShift, true
}

// Pending says that timers are due already, whatever the time.
func (w *Wheel) Pending() bool { return w.soon.head != nil || w.due.head != nil }

// Advance makes everything due that is due at now; Pop then gives it out. A
// timer armed without delay while popping waits for the next Advance.
func (w *Wheel) Advance(now time.Duration) {
	target := int64(now) >> tickShift
	if target > w.tick {
		for w.count > 0 {
			level, slot, tick := w.nextSlot()
			if tick > target {
				break
			}
			w.tick = tick
			w.empty(level, slot)
		}
		w.tick = target
	}
	for t := w.soon.head; t != nil; t = w.soon.head {
		w.unlink(t)
		w.push(&w.due, t, levelDue, 0)
	}
}

// Pop takes one timer that is due, the earliest first (to a Tick); nil when
// there is none. The timer is no longer armed.
func (w *Wheel) Pop() *Timer {
	t := w.due.head
	if t != nil {
		w.unlink(t)
		t.armed = false
	}
	return t
}

// empty moves the timers of a slot that begins now to where they belong.
func (w *Wheel) empty(level, slot int) {
	list := &w.slots[level][slot]
	for t := list.head; t != nil; t = list.head {
		w.unlink(t)
		if dueTick(t) <= w.tick {
			w.push(&w.due, t, levelDue, 0)
		} else {
			w.place(t)
		}
	}
}

// place puts t into the lowest level that tells its time from now.
func (w *Wheel) place(t *Timer) {
	at := min(max(dueTick(t), w.tick+1), w.tick+reach)
	level := min((bits.Len64(uint64(at^w.tick))-1)/slotShift, top)
	slot := int(at>>(slotShift*level)) & slotMask
	w.push(&w.slots[level][slot], t, uint8(level), uint8(slot))
	w.used[level] |= 1 << slot
	w.count++
}

// nextSlot finds the occupied slot that begins first. The Wheel must hold one.
func (w *Wheel) nextSlot() (level, slot int, tick int64) {
	for w.used[level] == 0 {
		level++
	}
	now := w.tick >> (slotShift * level)
	from := int(now+1) & slotMask
	ahead := bits.TrailingZeros64(bits.RotateLeft64(w.used[level], -from))
	return level, (from + ahead) & slotMask, (now + 1 + int64(ahead)) << (slotShift * level)
}

// dueTick is the first tick that is not before the due time.
func dueTick(t *Timer) int64 { return int64(t.due+Tick-1) >> tickShift }

func (w *Wheel) push(list *timers, t *Timer, level, slot uint8) {
	t.level, t.slot = level, slot
	t.next, t.prev = nil, list.tail
	if list.tail == nil {
		list.head = t
	} else {
		list.tail.next = t
	}
	list.tail = t
}

func (w *Wheel) unlink(t *Timer) {
	var list *timers
	switch t.level {
	case levelSoon:
		list = &w.soon
	case levelDue:
		list = &w.due
	default:
		list = &w.slots[t.level][t.slot]
		w.count--
	}
	if t.prev == nil {
		list.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		list.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
	if list.head == nil && t.level < levels {
		w.used[t.level] &^= 1 << t.slot
	}
}
