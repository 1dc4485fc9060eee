package model

import (
	"fmt"
	"time"
)

// overload checks what the proxy is to bear. What is wrong is left out, and the
// default holds: a proxy without bounds is no better.
func (v *checker) overload(o *Overload) *Overload {
	if o == nil {
		return nil
	}
	now := *o
	if o.Off && *o != (Overload{Off: true}) {
		v.doubtful("unused", "overload is off, and has bounds", "leave one of them out")
		now = Overload{Off: true}
	}
	if m := now.Memory; m > 0 && m < LeastOverloadMemory {
		v.broken("bad-value", fmt.Sprintf("overload at %d bytes of memory leaves nothing for traffic", m), "write 32MiB or more; what the system allows holds until then")
		now.Memory = 0
	}
	if now.CPU > 100 {
		v.broken("bad-value", fmt.Sprintf("overload at %d%% of the processors cannot be", now.CPU), fmt.Sprintf("write 1 to 100; %d holds until then", DefaultOverload.CPU))
		now.CPU = 0
	}
	switch d := now.QueueDelay; {
	case d > 0 && d < LeastQueueDelay || d > MostQueueDelay:
		v.broken("bad-value", fmt.Sprintf("overload at a queue delay of %v cannot be", d), fmt.Sprintf("write 1ms to 10s; %v holds until then", DefaultOverload.QueueDelay))
		now.QueueDelay = 0
	case d > 0 && d < 20*time.Millisecond:
		v.doubtful("tiny-time", fmt.Sprintf("a queue delay of %v is reached by a proxy that is only busy", d), fmt.Sprintf("leave it out for the default, %v", DefaultOverload.QueueDelay))
	}
	if now == *o {
		return o
	}
	return &now
}
