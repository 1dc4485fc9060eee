package model

import (
	"strings"
	"testing"
	"time"
)

// TestOverloadThatCannotBe: what cannot be is told, and the default holds.
func TestOverloadThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, out Overload
		want    string
	}{
		{Overload{}, Overload{}, ""},
		{Overload{Memory: -1, CPU: -1, QueueDelay: -1}, Overload{Memory: -1, CPU: -1, QueueDelay: -1}, ""},
		{Overload{Off: true}, Overload{Off: true}, ""},
		{Overload{Off: true, CPU: 90}, Overload{Off: true}, "unused: overload is off, and has bounds"},
		{Overload{Memory: 1 << 20}, Overload{}, "bad-value: overload at 1048576 bytes of memory leaves nothing for traffic"},
		{Overload{CPU: 101, Memory: 1 << 30}, Overload{Memory: 1 << 30}, "bad-value: overload at 101% of the processors cannot be"},
		{Overload{QueueDelay: time.Minute}, Overload{}, "bad-value: overload at a queue delay of 1m0s cannot be"},
		{Overload{QueueDelay: time.Microsecond}, Overload{}, "bad-value: overload at a queue delay of 1µs cannot be"},
		{Overload{QueueDelay: 5 * time.Millisecond}, Overload{QueueDelay: 5 * time.Millisecond}, "tiny-time: a queue delay of 5ms is reached by a proxy that is only busy"},
	} {
		good, problems := Validate(&Config{Settings: Settings{Overload: &c.in}})
		if *good.Settings.Overload != c.out {
			t.Errorf("%+v becomes %+v", c.in, *good.Settings.Overload)
		}
		if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) != 1 || !strings.HasPrefix(problems[0].Code+": "+problems[0].Message, c.want)) {
			t.Errorf("%+v: problems %v, want %q", c.in, problems, c.want)
		}
		again, problems := Validate(good)
		for _, p := range problems {
			if p.Severity == Broken {
				t.Errorf("%+v, again: %v", c.in, p)
			}
		}
		if *again.Settings.Overload != c.out {
			t.Errorf("%+v becomes %+v, again", c.in, *again.Settings.Overload)
		}
	}
}

// TestOverloadDefaults: nothing said, and fields left out, are the defaults.
func TestOverloadDefaults(t *testing.T) {
	t.Parallel()
	if f := (*Overload)(nil).Filled(); f != DefaultOverload {
		t.Errorf("nothing is %+v", f)
	}
	o := Overload{Memory: 5, QueueDelay: -1}
	if f, want := o.Filled(), (Overload{Memory: 5, CPU: 95, QueueDelay: -1}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
}
