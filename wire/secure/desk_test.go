package secure

import "testing"

func TestRecordFraming(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b     string
		n     int
		ready bool
	}{
		{"", 0, false},
		{"\x17\x03\x03\x00", 0, false},
		{"\x17\x03\x03\x00\x00", 5, true},
		{"\x17\x03\x03\x00\x02a", 7, false},
		{"\x17\x03\x03\x00\x02ab", 7, true},
		{"\x17\x03\x03\x00\x02abmore", 7, true},
		{"\x17\x03\x03\x48\x00", 5 + 0x4800, false},
		{"\x17\x03\x03\x48\x01", 5 + 0x4801, true}, // to be refused
	} {
		if n, r := recordLen([]byte(c.b)), ready([]byte(c.b)); n != c.n || r != c.ready {
			t.Errorf("%q: %d, %v; want %d, %v", c.b, n, r, c.n, c.ready)
		}
	}
}

func TestDeskKeepsOnlyUsualBuffers(t *testing.T) {
	t.Parallel()
	var d desk
	b := d.borrow(10)
	d.giveBack(b)
	d.giveBack(make([]byte, 10))
	d.giveBack(d.borrow(recordMost + 1))
	d.giveBack(nil)
	if len(d.spare) != 1 || cap(d.spare[0]) != recordMost {
		t.Errorf("%d spare buffers", len(d.spare))
	}
	for range spareMost + 5 {
		d.giveBack(make([]byte, 0, recordMost))
	}
	if len(d.spare) != spareMost {
		t.Errorf("%d spare buffers, want %d", len(d.spare), spareMost)
	}
}
