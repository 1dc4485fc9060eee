package wire

// chunkSize is small: a stream that waits for its window holds little.
const chunkSize = 4 << 10

// maxChunks bounds what a ChunkPool keeps: 4 MiB.
const maxChunks = 1024

// ChunkPool keeps the memory of the Queues of one loop. The zero one is ready.
type ChunkPool struct {
	free *chunk
	n    int
}

type chunk struct {
	next *chunk
	r, w int
	data [chunkSize]byte
}

// Queue holds bytes of one direction of a stream that cannot go on, in a
// pool's memory. The zero one is empty.
type Queue struct {
	head, tail *chunk
	n          int
}

// Len is how many bytes it holds.
func (q *Queue) Len() int { return q.n }

// Push adds a copy of b.
func (q *Queue) Push(p *ChunkPool, b []byte) {
	q.n += len(b)
	for len(b) > 0 {
		t := q.tail
		if t == nil || t.w == chunkSize {
			t = p.get()
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

// Take moves n bytes, which the queue has, to the end of out.
func (q *Queue) Take(p *ChunkPool, out []byte, n int) []byte {
	q.n -= n
	for n > 0 {
		h := q.head
		k := min(n, h.w-h.r)
		out = append(out, h.data[h.r:h.r+k]...)
		h.r += k
		n -= k
		if h.r == h.w {
			q.pop(p)
		}
	}
	return out
}

func (q *Queue) pop(p *ChunkPool) {
	h := q.head
	q.head = h.next
	if q.head == nil {
		q.tail = nil
	}
	p.put(h)
}

// Clear empties it.
func (q *Queue) Clear(p *ChunkPool) {
	for q.head != nil {
		q.pop(p)
	}
	q.n = 0
}

func (p *ChunkPool) get() *chunk {
	c := p.free
	if c == nil {
		return &chunk{}
	}
	p.free, c.next = c.next, nil
	p.n--
	return c
}

func (p *ChunkPool) put(c *chunk) {
	c.r, c.w, c.next = 0, 0, nil
	if p.n < maxChunks {
		c.next, p.free = p.free, c
		p.n++
	}
}
