package http2

// table finds streams by id. The ids of one side are every other number and so
// fill the rows evenly.
type table struct {
	rows [32]*stream // heads of chains by stream.next
	n    int
}

func (t *table) row(id uint32) **stream { return &t.rows[id>>1&31] }

func (t *table) find(id uint32) *stream {
	s := *t.row(id)
	for s != nil && s.id != id {
		s = s.next
	}
	return s
}

func (t *table) add(s *stream) {
	r := t.row(s.id)
	s.next, *r = *r, s
	t.n++
}

func (t *table) remove(s *stream) {
	r := t.row(s.id)
	for *r != s {
		r = &(*r).next
	}
	*r, s.next = s.next, nil
	t.n--
}

// first gives a stream that is as sought, or nil.
func (t *table) first(sought func(*stream) bool) *stream {
	for i := range t.rows {
		for s := t.rows[i]; t.n > 0 && s != nil; s = s.next {
			if sought(s) {
				return s
			}
		}
	}
	return nil
}
