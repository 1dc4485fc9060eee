package secure

// Write encrypts a and b into as few records as they need and sends them as
// one write. Before the handshake is complete they wait.
func (c *conn) Write(a, b []byte) {
	if c.closing != stay {
		return
	}
	switch c.phase {
	case shaking:
		c.shake.pending = append(append(c.shake.pending, a...), b...)
	case open:
		c.seal(a, b)
		c.flush()
	}
}

// seal cuts a, then b, into full records and one last. Only the record in
// which a ends and b begins is copied together.
func (c *conn) seal(a, b []byte) {
	if n := len(a) - len(a)%recordPlain; n > 0 {
		c.tls.Write(a[:n])
		a = a[n:]
	}
	switch {
	case len(a) > 0 && len(b) > 0:
		n := copy(c.desk.join, a)
		k := copy(c.desk.join[n:], b)
		c.tls.Write(c.desk.join[:n+k])
		b = b[k:]
	case len(a) > 0:
		c.tls.Write(a)
	}
	if len(b) > 0 {
		c.tls.Write(b)
	}
}

// flush sends the ciphertext that was collected.
func (c *conn) flush() {
	if d := c.desk; len(d.out) > 0 {
		c.raw.Write(d.out, nil)
		d.out = d.out[:0]
	}
}

// Buffered is in bytes of ciphertext, or of plaintext during the handshake.
func (c *conn) Buffered() int {
	switch c.phase {
	case shaking:
		return len(c.shake.pending)
	case open:
		return c.raw.Buffered()
	}
	return 0
}

// CloseWrite sends close_notify, then FIN.
func (c *conn) CloseWrite() {
	if c.closing != stay {
		return
	}
	c.closing = endWrite
	if c.phase == open {
		c.notify()
		c.raw.CloseWrite()
	}
}

// Close sends what is buffered and close_notify, then closes.
func (c *conn) Close() { c.end(endAll) }

// Finish does the same with the raw Conn's Finish.
func (c *conn) Finish() { c.end(endLinger) }

func (c *conn) end(how closing) {
	switch c.phase {
	case shaking:
		if c.closing == endAll || c.closing == endLinger {
			return
		}
		c.closing = how
		if len(c.shake.pending) > 0 {
			c.loop.Arm(&c.shake.timer, deferredClose)
			return
		}
		c.stopShake()
		c.raw.Close()
	case open:
		c.notify()
		c.drop()
		if how == endLinger {
			c.raw.Finish()
		} else {
			c.raw.Close()
		}
	}
}

// notify sends close_notify, once.
func (c *conn) notify() {
	c.tls.CloseWrite()
	c.flush()
}

// Abort resets the connection; close_notify would promise that all was sent.
func (c *conn) Abort() {
	switch c.phase {
	case shaking:
		c.stopShake()
	case open:
		c.drop()
	default:
		return
	}
	c.raw.Abort()
}
