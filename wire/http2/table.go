package http2

// table finds streams by id. The ids of one side are every other number and so
// fill the rows evenly. A connection with few streams has few rows of its own;
// one with many borrows the loop's.
type table struct {
	rows  []*stream // heads of chains by stream.next
	n     int
	small [4]*stream
}

// manyRows are for as many streams as a connection may have.
const manyRows = 64

func (t *table) row(id uint32) **stream {
	return &t.rows[int(id>>1)&(len(t.rows)-1)]
}

func (t *table) find(id uint32) *stream {
	if t.n == 0 {
		return nil
	}
	for s := *t.row(id); s != nil; s = s.next {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (t *table) add(l *local, s *stream) {
	switch {
	case t.rows == nil:
		t.rows = t.small[:]
	case t.n == 4*len(t.small) && len(t.rows) < manyRows:
		t.grow(l)
	}
	r := t.row(s.id)
	s.next, *r = *r, s
	t.n++
}

func (t *table) grow(l *local) {
	old := t.rows
	if n := len(l.rows); n > 0 {
		t.rows = l.rows[n-1]
		l.rows = l.rows[:n-1]
	} else {
		t.rows = make([]*stream, manyRows)
	}
	for i, s := range old {
		for s != nil {
			next := s.next
			r := t.row(s.id)
			s.next, *r = *r, s
			s = next
		}
		old[i] = nil
	}
}

func (t *table) remove(l *local, s *stream) {
	r := t.row(s.id)
	for *r != s {
		r = &(*r).next
	}
	*r, s.next = s.next, nil
	if t.n--; t.n == 0 && len(t.rows) == manyRows {
		if len(l.rows) < maxFree {
			l.rows = append(l.rows, t.rows)
		}
		t.rows = t.small[:]
	}
}

// any gives some stream, or nil.
func (t *table) any() *stream {
	if t.n > 0 {
		for _, s := range t.rows {
			if s != nil {
				return s
			}
		}
	}
	return nil
}
