package http2

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

func newWriter() *hpackWriter {
	w := &hpackWriter{}
	w.init()
	return w
}

// one is the representation of one field in a block of its own.
func one(w *hpackWriter, name, value string) []byte {
	return w.fieldString(w.begin(nil), name, value, false)
}

// What comes again is added when it is met for the second time.
func TestIndexesWhatRepeats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value          string
		first, second, third string // octets
	}{
		{":method", "GET", "82", "82", "82"},
		{":path", "/index.html", "85", "85", "85"},
		{":status", "200", "88", "88", "88"},
		{"Accept-Encoding", "gzip, deflate", "90", "90", "90"},
		{"content-type", "a", "0f 10 01 61", "5f 01 61", "be"},
		{"X-A", "b", "00 03 78 2d 61 01 62", "40 03 78 2d 61 01 62", "be"},
		{"te", "trailers", "00 02 74 65 08 74 72 61 69 6c 65 72 73", "40 02 74 65 86 4d 83 35 05 b1 1f", "be"},
		{"content-length", "11", "0f 0d 02 31 31", "0f 0d 02 31 31", "0f 0d 02 31 31"},
		{"authorization", "b", "1f 08 01 62", "1f 08 01 62", "1f 08 01 62"},
		{"cookie", "a=1", "1f 11 03 61 3d 31", "1f 11 03 61 3d 31", "1f 11 03 61 3d 31"},
		{"Grpc-Timeout", "1u", "", "be", "be"},
	} {
		w := newWriter()
		for i, want := range []string{c.first, c.second, c.third} {
			if c.name == "Grpc-Timeout" && i == 0 {
				// Its name in Huffman code is not what is looked at here.
				one(w, c.name, c.value)
				continue
			}
			if got := one(w, c.name, c.value); !bytes.Equal(got, blockOf(t, want)) {
				t.Errorf("%s: %s, time %d: got % x, want %s", c.name, c.value, i+1, got, want)
			}
		}
	}
}

// Identifiers and the like leave the table to what repeats.
func TestKeepsTheTableClean(t *testing.T) {
	t.Parallel()
	w := newWriter()
	var block []byte
	for n := range 1000 {
		block = w.begin(block[:0])
		for _, f := range [][2]string{
			{":path", fmt.Sprint("/items/", n)},
			{"user-agent", "someone/1.0"},
			{"x-request-id", fmt.Sprint("id-", n)},
			{"x-made-up", fmt.Sprint("number ", n)},
			{"traceparent", fmt.Sprintf("00-%032x-01", n)},
			{"x-huge", string(make([]byte, 3000))},
		} {
			block = w.fieldString(block, f[0], f[1], false)
		}
	}
	want := []string{`"user-agent": "someone/1.0"`, `"traceparent": "00-00000000000000000000000000000000-01"`, `"x-request-id": "id-0"`}
	if got := content(&w.table); !slices.Equal(got, want) {
		t.Errorf("table is %q, want %q", got, want)
	}
}

// An entry that was evicted is not found, and comes back when it is met again.
func TestWriteAfterEviction(t *testing.T) {
	t.Parallel()
	w, r := newWriter(), newReader(4096)
	for round := range 40 {
		for n := range 100 {
			for range 2 {
				name, value := fmt.Sprint("name-", n), fmt.Sprint("a value that is not short, of ", n)
				var got listed
				if err := r.read(one(w, name, value), &got); err != nil || got.fields[0] != line(name, value, false) {
					t.Fatalf("round %d: got %q, %v", round, got.fields, err)
				}
			}
		}
		if w.table.count < 40 {
			t.Fatalf("round %d: %d entries", round, w.table.count)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWriter()
	for code := 100; code < 1000; code++ {
		var got listed
		if err := newReader(4096).read(w.status(nil, code), &got); err != nil || got.fields[0] != line(":status", fmt.Sprint(code), false) {
			t.Errorf("%d: got %q, %v", code, got.fields, err)
		}
	}
	if got := w.status(nil, 304); !bytes.Equal(got, []byte{0x8b}) {
		t.Errorf("304: got %x", got)
	}
}

func TestNever(t *testing.T) {
	t.Parallel()
	w := newWriter()
	for range 3 {
		if got := w.field(nil, []byte("X-A"), []byte("b"), true); !bytes.Equal(got, []byte("\x10\x03x-a\x01b")) {
			t.Errorf("got %q", got)
		}
	}
	long := bytes.Repeat([]byte("Long"), 50)
	var got listed
	if err := newReader(4096).read(w.field(nil, long, []byte("b"), true), &got); err != nil || got.fields[0] != line(lowerASCII(string(long)), "b", true) {
		t.Errorf("got %q, %v", got.fields, err)
	}
}

// Table size updates (RFC 7541 section 4.2).
func TestSizeUpdates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		sizes []uint32
		want  string
	}{
		{"none", nil, ""},
		{"the same", []uint32{4096}, ""},
		{"more than is used", []uint32{65536}, ""},
		{"less", []uint32{100}, "3f 45"},
		{"less and less", []uint32{100, 0}, "20"},
		{"less, then more", []uint32{0, 100}, "20 3f 45"},
		{"less, then as before", []uint32{0, 4096}, "20 3f e1 1f"},
		{"there and back", []uint32{2000, 100, 3000, 1 << 31}, "3f 45 3f e1 1f"},
	} {
		w := newWriter()
		for _, n := range c.sizes {
			w.setPeerTable(n)
		}
		if got := w.begin(nil); !bytes.Equal(got, blockOf(t, c.want)) {
			t.Errorf("%s: got % x, want %s", c.name, got, c.want)
		}
		if got := w.begin(nil); len(got) != 0 {
			t.Errorf("%s: % x again", c.name, got)
		}
	}
	w := newWriter()
	w.setPeerTable(0)
	w.begin(nil)
	w.setPeerTable(1 << 16)
	if got := w.begin(nil); !bytes.Equal(got, blockOf(t, "3f e1 1f")) {
		t.Errorf("grown: got % x", got)
	}
}

func TestWriteAllocates(t *testing.T) {
	w := newWriter()
	block := make([]byte, 0, 4096)
	value := []byte("00000000 is a value that is new each time")
	name := []byte("X-Something-Else")
	n := 0
	write := func() {
		n++
		for i, k := 7, n; i >= 0; i, k = i-1, k/10 {
			value[i] = '0' + byte(k%10)
		}
		block = encodeAll(w, block[:0], benchBrowser)
		block = w.status(block, 302)
		block = w.field(block, name, value, false)
		// For the second time: into the table, which is full after some rounds.
		block = w.field(block, name, value, false)
		block = w.field(block, name, value, true)
	}
	for range 300 {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.table.used < 3500 {
		t.Errorf("the table has %d octets only", w.table.used)
	}
}

func TestStaticTable(t *testing.T) {
	t.Parallel()
	for i := byte(1); i <= staticCount; i++ {
		d := newTheirs(4096)
		if err := d.read([]byte{indexedField | i}); err != nil {
			t.Fatal(err)
		}
		p := staticPairs[i]
		if want := line(string(p.name), string(p.value), false); d.fields[0] != want {
			t.Errorf("index %d: x/net has %s, here %s", i, d.fields[0], want)
		}
	}
}
