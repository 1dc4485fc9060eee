package http2

// chunkSize is small: a stream that waits for its window holds little.
const chunkSize = 4 << 10

type chunk struct {
	next *chunk
	r, w int
	data [chunkSize]byte
}

// queue holds bytes of one direction of a stream that cannot go on.
type queue struct {
	head, tail *chunk
	n          int
}

func (q *queue) push(l *local, b []byte) {
	q.n += len(b)
	for len(b) > 0 {
		t := q.tail
		if t == nil || t.w == chunkSize {
			t = l.newChunk()
			if q.tail == nil {
				q.head = t
			} else {
				q.tail.next = t
			}
			q.tail = t
		}
		n := copy(t.data[t.w:], b)
		t.w += n
		b = b[n:]
	}
}

// take moves n bytes, which the queue has, to the end of out.
func (q *queue) take(l *local, out []byte, n int) []byte {
	q.n -= n
	for n > 0 {
		h := q.head
		k := min(n, h.w-h.r)
		out = append(out, h.data[h.r:h.r+k]...)
		h.r += k
		n -= k
		if h.r == h.w {
			q.pop(l)
		}
	}
	return out
}

func (q *queue) pop(l *local) {
	h := q.head
	q.head = h.next
	if q.head == nil {
		q.tail = nil
	}
	l.freeChunk(h)
}

func (q *queue) clear(l *local) {
	for q.head != nil {
		q.pop(l)
	}
	q.n = 0
}

func (l *local) newChunk() *chunk {
	c := l.chunks
	if c == nil {
		return &chunk{}
	}
	l.chunks, c.next = c.next, nil
	l.kept.chunks--
	return c
}

func (l *local) freeChunk(c *chunk) {
	c.r, c.w, c.next = 0, 0, nil
	if l.kept.chunks < maxChunks {
		c.next, l.chunks = l.chunks, c
		l.kept.chunks++
	}
}
