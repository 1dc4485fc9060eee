package loop

import (
	"syscall"

	"github.com/naru-mesh/naru/wire"
	"golang.org/x/sys/unix"
)

// vectorMax is how many chunks one system call sends: as much as HighWater.
const vectorMax = wire.HighWater / chunkSize

// joinMax is up to where two slices are copied together: for small messages
// that costs less than what the kernel adds for a second slice.
const joinMax = 4 << 10

// Write sends a, then b; what the kernel does not take at once, and what is sent
// a little later together with others, is copied.
func (c *conn) Write(a, b []byte) {
	if c.phase != open || c.shut || c.errno != 0 {
		return
	}
	if c.head != nil || c.dialling {
		c.keep(a)
		c.keep(b)
		return
	}
	if len(a) == 0 {
		a, b = b, nil
		if len(a) == 0 {
			return
		}
	}
	if c.gather(a, b) {
		return
	}
	c.ungather()
	if c.head != nil || c.errno != 0 {
		c.Write(a, b)
		return
	}
	if len(b) > 0 && len(a)+len(b) <= joinMax {
		a, b = append(append(c.loop.joined[:0], a...), b...), nil
	}
	c.offer(a, b)
}

// Buffered is how many bytes wait for the kernel, or in it for the socket.
func (c *conn) Buffered() int {
	if r := c.rare; r != nil && r.from != nil {
		return int(c.buffered) + r.from.rare.piped
	}
	return int(c.buffered) + c.waiting()
}

// keep copies b behind what is buffered.
func (c *conn) keep(b []byte) {
	if len(b) == 0 {
		return
	}
	c.buffered += int32(len(b))
	c.loop.count.add(countBuffered, int64(len(b)))
	for len(b) > 0 {
		t := c.tail
		if t == nil || t.w == len(t.data) {
			t = c.loop.chunks.get()
			if c.tail == nil {
				c.head = t
			} else {
				c.tail.next = t
			}
			c.tail = t
		}
		n := copy(t.data[t.w:], b)
		t.w += n
		b = b[n:]
	}
	if c.buffered > wire.LowWater {
		c.high = true
	}
}

// flush sends what is buffered, as far as the kernel takes it, and does what
// waited for that. It is called from the loop's top only.
func (c *conn) flush() {
	for c.head != nil {
		var vector [vectorMax]unix.Iovec
		count, offered := 0, 0
		for k := c.head; k != nil && count < vectorMax; k = k.next {
			vector[count].Base = &k.data[k.r]
			vector[count].SetLen(k.w - k.r)
			offered += k.w - k.r
			count++
		}
		n, e := sendVector(c.fd, &vector[0], count)
		if e == syscall.EINTR {
			continue
		}
		if e == syscall.EAGAIN {
			return
		}
		if e != 0 {
			if c.phase != open {
				c.release()
				return
			}
			c.broke(e)
			return
		}
		c.sent(n)
		if n < offered {
			break
		}
	}
	if c.head == nil && (c.phase != open || c.shut) {
		c.flushed()
	}
	if c.high && c.phase == open && c.buffered <= wire.LowWater {
		c.high = false
		c.handler.OnDrained()
	}
}

// sent removes n bytes from what is buffered.
func (c *conn) sent(n int) {
	c.buffered -= int32(n)
	c.loop.count.add(countBuffered, int64(-n))
	for n > 0 {
		k := c.head
		if k.w-k.r > n {
			k.r += n
			return
		}
		n -= k.w - k.r
		c.head = k.next
		c.loop.chunks.put(k)
	}
	if c.head == nil {
		c.tail = nil
	}
}

func (c *conn) dropOutput() {
	if c.buffered > 0 {
		c.sent(int(c.buffered))
	}
	c.high = false
}
