package wire

import "time"

// Timer fires once, on the loop that armed it. Embed it in what it belongs
// to, set Handler once, and hand it to Loop.Arm. The zero links mean
// "not armed"; only the loop that armed it touches them. An armed Timer must
// not be copied or moved.
type Timer struct {
	// Handler is called when the timer fires; it may arm it again.
	Handler TimerHandler
	// Kind tells the timers of one Handler apart.
	Kind uint8

	armed      bool
	level      uint8 // where in the Wheel: levelSoon, levelDue or a wheel level
	slot       uint8
	due        time.Duration
	next, prev *Timer
}

// TimerHandler is told that a Timer fired.
type TimerHandler interface{ OnTimer(t *Timer) }

// Armed says whether the timer waits to fire.
func (t *Timer) Armed() bool { return t.armed }

// Due is when an armed timer fires, on its loop's clock.
func (t *Timer) Due() time.Duration { return t.due }

// Deadline is a Timer for what nearly always ends in time, once for each of
// very many requests. Setting and stopping it only note when it is due: the
// Timer in it stays armed from one use to the next, and when it fires early
// it is armed for the rest. Its owner asks Over in OnTimer. The zero Deadline
// is not set; Handler and Kind are the Timer's.
type Deadline struct {
	Timer
	set bool
	at  time.Duration // when it is over, while set
}

// Set makes the deadline end in after now; one that was set is moved.
func (d *Deadline) Set(l Loop, in time.Duration) {
	d.set, d.at = true, l.Now()+in
	if !d.armed || d.due > d.at || in <= 0 {
		l.Arm(&d.Timer, in)
	}
}

// Stop makes the deadline not end. The Timer may still fire, for nothing.
func (d *Deadline) Stop() { d.set = false }

// IsSet says whether the deadline is going to end.
func (d *Deadline) IsSet() bool { return d.set }

// Over is asked when the Timer fired: whether the deadline has ended, which
// also stops it.
func (d *Deadline) Over(l Loop) bool {
	if !d.set {
		return false
	}
	if rest := d.at - l.Now(); rest > 0 {
		l.Arm(&d.Timer, rest)
		return false
	}
	d.set = false
	return true
}
