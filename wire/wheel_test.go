package wire

import (
	"math/rand/v2"
	"testing"
	"time"
)

// modelled is a Timer and what a list without cleverness says about it.
type modelled struct {
	Timer
	armed bool
	soon  bool
	due   time.Duration
}

// due is the rule of the Wheel in one line: at the first Tick not before.
func (m *modelled) dueAt(now time.Duration) bool {
	return m.soon || (m.due+Tick-1)/Tick*Tick <= now
}

// play drives a Wheel and the model with the same random steps.
func play(t *testing.T, r *rand.Rand, steps int, delays []time.Duration) {
	t.Helper()
	var w Wheel
	now := time.Duration(r.Int64N(int64(100 * time.Hour)))
	all := make([]modelled, 24)
	for step := range steps {
		m := &all[r.IntN(len(all))]
		switch r.IntN(4) {
		case 0, 1:
			d := delays[r.IntN(len(delays))]
			if d > 0 {
				d = time.Duration(r.Int64N(int64(d))) + 1
			}
			w.Arm(&m.Timer, now, d)
			m.armed, m.soon, m.due = true, d <= 0, now+d
		case 2:
			w.Disarm(&m.Timer)
			m.armed = false
		case 3:
			now += time.Duration(r.Int64N(int64(delays[r.IntN(len(delays))]) + 1))
			w.Advance(now)
			last := time.Duration(-1)
			for p := w.Pop(); p != nil; p = w.Pop() {
				for i := range all {
					if &all[i].Timer == p {
						if !all[i].armed || !all[i].dueAt(now) {
							t.Fatalf("step %d: timer due %v fired at %v", step, all[i].due, now)
						}
						if tick := (all[i].due + Tick - 1) / Tick; !all[i].soon && tick < last {
							t.Fatalf("step %d: fired out of order", step)
						} else if !all[i].soon {
							last = tick
						}
						all[i].armed = false
					}
				}
			}
			for i := range all {
				if all[i].armed && all[i].dueAt(now) {
					t.Fatalf("step %d: timer due %v had not fired at %v", step, all[i].due, now)
				}
			}
		}
		checkNext(t, &w, all, now)
	}
}

// checkNext compares Next and Armed with the model.
func checkNext(t *testing.T, w *Wheel, all []modelled, now time.Duration) {
	t.Helper()
	earliest := time.Duration(-1)
	for i := range all {
		m := &all[i]
		if m.armed != m.Armed() {
			t.Fatalf("timer %d: armed %v, want %v", i, m.Armed(), m.armed)
		}
		if !m.armed {
			continue
		}
		at := (m.due + Tick - 1) / Tick * Tick
		if m.soon {
			at = 0
		}
		if earliest < 0 || at < earliest {
			earliest = at
		}
	}
	at, ok := w.Next()
	if ok != (earliest >= 0) {
		t.Fatalf("Next says %v, model %v", ok, earliest)
	}
	if ok && at > earliest {
		t.Fatalf("Next %v is after the earliest timer %v", at, earliest)
	}
	if ok && earliest > now && at == 0 {
		t.Fatalf("Next says at once, the earliest timer is due %v", earliest)
	}
}

func TestWheelAgainstModel(t *testing.T) {
	t.Parallel()
	ranges := [][]time.Duration{
		{0, Tick, 3 * Tick},
		{0, 70 * Tick, 500 * Tick},
		{0, time.Second, time.Minute, time.Hour},
		{0, 20 * time.Millisecond, 40 * time.Second, 24 * time.Hour},
		{time.Hour, 24 * time.Hour, 400 * time.Hour}, // beyond the top level's reach
	}
	for i, delays := range ranges {
		for seed := range uint64(60) {
			play(t, rand.New(rand.NewPCG(seed, uint64(i))), 400, delays)
		}
	}
}

func FuzzWheelAgainstModel(f *testing.F) {
	f.Add(uint64(1), uint64(2), int64(time.Minute))
	f.Fuzz(func(t *testing.T, a, b uint64, d int64) {
		d &= int64(1)<<47 - 1 // up to 39 h
		play(t, rand.New(rand.NewPCG(a, b)), 300, []time.Duration{0, Tick, time.Duration(d)})
	})
}

// TestWheelEveryTick arms one timer for every tick around the seams of the
// levels and walks over them tick by tick.
func TestWheelEveryTick(t *testing.T) {
	t.Parallel()
	for _, start := range []int64{0, 1, 63, 64, 4095, 1<<18 - 1, 1<<24 - 70} {
		var w Wheel
		const n = 5000
		all := make([]Timer, n)
		base := time.Duration(start) * Tick
		w.Advance(base)
		for i := range all {
			w.Arm(&all[i], base, time.Duration(i+1)*Tick)
		}
		for i := range all {
			w.Advance(base + time.Duration(i+1)*Tick - 1)
			if w.Pop() != nil {
				t.Fatalf("start %d: a timer fired before tick %d", start, i+1)
			}
			w.Advance(base + time.Duration(i+1)*Tick)
			if got := w.Pop(); got != &all[i] {
				t.Fatalf("start %d: timer %d did not fire at its tick", start, i)
			}
		}
		if _, ok := w.Next(); ok {
			t.Fatalf("start %d: the wheel is not empty", start)
		}
	}
}

// TestWheelArmWhileFiring: a handler may move, stop and arm any timer, also
// those that are due in the same turn; no delay means the next turn.
func TestWheelArmWhileFiring(t *testing.T) {
	t.Parallel()
	var w Wheel
	var a, b, c Timer
	w.Arm(&a, 0, Tick)
	w.Arm(&b, 0, Tick)
	w.Arm(&c, 0, Tick)
	w.Advance(Tick)
	if w.Pop() != &a {
		t.Fatal("a should fire first")
	}
	w.Arm(&a, Tick, 0)
	w.Disarm(&b)
	w.Arm(&c, Tick, Tick)
	if got := w.Pop(); got != nil {
		t.Fatal("nothing is left for this turn")
	}
	if at, ok := w.Next(); !ok || at != 0 {
		t.Fatalf("a waits for the next turn, Next says %v, %v", at, ok)
	}
	w.Advance(Tick)
	if w.Pop() != &a || w.Pop() != nil {
		t.Fatal("only a should fire at the next turn")
	}
	w.Advance(2 * Tick)
	if w.Pop() != &c || b.Armed() {
		t.Fatal("c should fire one tick later, b never")
	}
}

func TestWheelDoesNotAllocate(t *testing.T) {
	var w Wheel
	var timer Timer
	now := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		w.Arm(&timer, now, time.Minute)
		w.Arm(&timer, now, time.Second)
		now += 2 * time.Second
		w.Advance(now)
		if w.Pop() != &timer {
			t.Error("timer lost")
		}
		w.Arm(&timer, now, time.Hour)
		w.Disarm(&timer)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkWheelArm(b *testing.B) {
	var w Wheel
	all := make([]Timer, 1024)
	now := time.Duration(0)
	for i := range b.N {
		now += 10 * time.Microsecond
		w.Arm(&all[i&1023], now, time.Minute)
		w.Advance(now)
	}
}
