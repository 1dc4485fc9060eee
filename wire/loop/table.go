package loop

const (
	pageShift = 9
	pageSize  = 1 << pageShift
)

// table finds a connection (or a socket for datagrams) by the number that its
// events carry. Numbers are the loop's own, not the file descriptors: those are
// numbered for the whole process, so each loop's table would be as large as all
// of them.
type table[T any] struct {
	pages [][]*T
	free  []int32
}

// add stores c and gives its number, the one freed last if there is one.
func (t *table[T]) add(c *T) int32 {
	if len(t.free) == 0 {
		first := int32(len(t.pages) << pageShift)
		t.pages = append(t.pages, make([]*T, pageSize))
		for i := first + pageSize - 1; i >= first; i-- {
			t.free = append(t.free, i)
		}
	}
	id := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.pages[id>>pageShift][id&(pageSize-1)] = c
	return id
}

// at is what has that number, or nil.
func (t *table[T]) at(id int32) *T {
	return t.pages[id>>pageShift][id&(pageSize-1)]
}

func (t *table[T]) remove(id int32) {
	t.pages[id>>pageShift][id&(pageSize-1)] = nil
	t.free = append(t.free, id)
}
