package loop

const (
	chunkSize = 16 << 10
	// chunksKept is how much free memory for output a loop keeps: 2 MiB.
	chunksKept = 128
)

// chunk holds output that the kernel did not take; it fills a size class of
// the allocator exactly.
type chunk struct {
	next *chunk
	r, w int // data[r:w] is to be sent
	data [chunkSize - 3*8]byte
}

// chunks is a loop's store of free chunks.
type chunks struct {
	free *chunk
	kept int
}

func (s *chunks) get() *chunk {
	c := s.free
	if c == nil {
		return new(chunk)
	}
	s.free, c.next = c.next, nil
	s.kept--
	return c
}

func (s *chunks) put(c *chunk) {
	if s.kept == chunksKept {
		c.next = nil
		return
	}
	c.next, c.r, c.w = s.free, 0, 0
	s.free = c
	s.kept++
}
