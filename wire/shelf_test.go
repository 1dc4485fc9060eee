package wire

import "testing"

func TestShelfLendsTheWarmestMemory(t *testing.T) {
	t.Parallel()
	var s Shelf
	var a, b Head
	s.Lend(&a)
	s.Lend(&b)
	a.AddString(KeyOf("A"), "1")
	b.AddString(KeyOf("B"), "2")
	was := &b.Buf[0]
	s.Return(&a)
	s.Return(&b)
	if a.Buf != nil || len(a.Fields) != 0 || a.Has(KeyOf("A")) {
		t.Errorf("a returned head keeps %q", a.Buf)
	}
	var c Head
	s.Lend(&c)
	if c.Has(KeyOf("B")) || len(c.Buf) != 0 || len(c.Fields) != 0 {
		t.Errorf("lent memory holds %q", c.Buf)
	}
	c.AddString(KeyOf("C"), "3")
	if &c.Buf[0] != was {
		t.Error("what came back last is not lent first")
	}
	s.Lend(&c)
	if v, _ := c.Get(KeyOf("C")); string(v) != "3" {
		t.Error("a head that has memory lost it")
	}
}

func TestShelfKeepsLittle(t *testing.T) {
	t.Parallel()
	var s Shelf
	heads := make([]Head, 2*keepShelved)
	for i := range heads {
		s.Lend(&heads[i])
	}
	for i := range heads {
		s.Return(&heads[i])
	}
	if len(s.free) != keepShelved {
		t.Errorf("%d memories kept, want %d", len(s.free), keepShelved)
	}
	large := Head{Buf: make([]byte, 1<<20)}
	s.free = s.free[:0]
	s.Return(&large)
	if len(s.free) != 0 || large.Buf != nil {
		t.Error("a megabyte is kept")
	}
}

func TestNoShelf(t *testing.T) {
	t.Parallel()
	var s *Shelf
	var h Head
	s.Lend(&h)
	h.AddString(KeyOf("A"), "1")
	s.Return(&h)
	if h.Has(KeyOf("A")) || len(h.Fields) != 0 {
		t.Error("the head was not reset")
	}
}

func TestShelfAllocatesNothing(t *testing.T) {
	var s Shelf
	var h Head
	key := KeyOf("A")
	if n := testing.AllocsPerRun(100, func() {
		s.Lend(&h)
		h.AddString(key, "1")
		s.Return(&h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
