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
