package http2

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// differences are blocks that are judged in another way than by x/net;
// testdata/hpack/differences.md says why, FuzzHpackRead allows no others.
var differences = []struct {
	name     string
	block    string
	ours     error // nil when only we accept
	accepted bool  // by x/net
}{
	{"leading zeros", "3f 80 80 80 80 80 00", errInteger, true},
	{"update behind a field", "82 20", errTable, true},
	{"third update", "20 20 20", errTable, true},
	{"second update", "40 01 61 01 62", nil, true}, // and then 3f 21 3f e1 1f, see there
}

func TestHpackDifferences(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("testdata/hpack/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range differences {
		if !strings.Contains(string(doc), "| "+c.name+" |") {
			t.Errorf("differences.md does not list %q", c.name)
		}
		block := blockOf(t, c.block)
		d := hpack.NewDecoder(4096, func(hpack.HeaderField) {})
		_, theirs := d.Write(block)
		if theirs == nil {
			theirs = d.Close()
		}
		r := newReader(4096)
		if err := r.read(block, &listed{}); !errors.Is(err, c.ours) || c.accepted != (theirs == nil) {
			t.Errorf("%s: here %v, x/net %v", c.name, err, theirs)
		}
		if c.name == "second update" {
			_, theirs = d.Write(blockOf(t, "3f 21 3f e1 1f"))
			if err := r.read(blockOf(t, "3f 21 3f e1 1f"), &listed{}); err != nil || theirs == nil {
				t.Errorf("%s: here %v, x/net %v", c.name, err, theirs)
			}
		}
	}
}

// nextBlock takes the next block from fuzzed octets, whose first says how long it is.
func nextBlock(data []byte) (block, rest []byte) {
	n := min(int(data[0]), len(data)-1)
	return data[1 : 1+n], data[1+n:]
}

func FuzzHpackRead(f *testing.F) {
	add := func(blocks ...string) {
		var data []byte
		for _, s := range blocks {
			b := blockOf(f, s)
			data = append(append(data, byte(len(b))), b...)
		}
		f.Add(data)
	}
	text, err := os.ReadFile("testdata/hpack/appendix_c.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if s, ok := strings.CutPrefix(line, "> "); ok {
			add(s, s)
		}
	}
	for _, c := range differences {
		add(c.block, "3f 21 3f e1 1f")
	}
	add("40 01 61 01 62 7e 01 63", "3f 21 be bf", "3f e1 1f 82", "40 80 80 be")
	add("40 01 61 84 ff ff ff ff", "7f 00 01 61", "ff 81 ff ff ff 07")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, d := newReader(4096), newTheirs(4096)
		var block []byte
		for len(data) > 0 {
			block, data = nextBlock(data)
			var got listed
			ours, theirs := r.read(block, &got), d.read(block)
			if errors.Is(ours, errInteger) || errors.Is(ours, errTable) {
				return // we may be the stricter; never the other way round
			}
			if (ours == nil) != (theirs == nil) {
				t.Fatalf("%x: here %v, x/net %v", block, ours, theirs)
			}
			if !slices.Equal(got.fields, d.fields) {
				t.Fatalf("%x: here %q, x/net %q", block, got.fields, d.fields)
			}
			if ours != nil {
				return
			}
			if r.table.used > r.table.max || len(r.table.buf) > defaultTableSize {
				t.Fatalf("%x: table of %d octets in %d bytes", block, r.table.used, len(r.table.buf))
			}
		}
	})
}

// FuzzHpackWrite writes what the octets say: a name and a value each, a new
// block or a new table size.
func FuzzHpackWrite(f *testing.F) {
	f.Add([]byte("\x04name\x05value\x04name\x05value\x04name\x05value"))
	f.Add([]byte("\xff\x20\x04NAME\x05value\xff\x00\xfe\xff\xff\x03a-b\x01c"))
	f.Add([]byte("\x06cookie\x07session\x0dauthorization\x04none\x07:method\x03GET"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var w hpackWriter
		w.init()
		r, d := newReader(4096), newTheirs(4096)
		block := w.begin(nil)
		var want []string
		check := func() {
			var got listed
			ours, theirs := r.read(block, &got), d.read(block)
			if ours != nil || theirs != nil || !slices.Equal(got.fields, want) || !slices.Equal(d.fields, want) {
				t.Fatalf("%x\nhere %q, %v\nx/net %q, %v\nwant %q", block, got.fields, ours, d.fields, theirs, want)
			}
		}
		for len(data) > 1 {
			switch data[0] {
			case 0xff:
				check()
				n := uint32(data[1]) * 17
				w.setPeerTable(n)
				r.setLimit(n)
				d.SetAllowedMaxDynamicTableSize(n)
				block, want, data = w.begin(block[:0]), nil, data[2:]
			case 0xfe:
				check()
				block, want, data = w.begin(block[:0]), nil, data[1:]
			default:
				var name, value []byte
				if name, data = nextBlock(data); len(data) > 0 {
					value, data = nextBlock(data)
				}
				low := lowerASCII(string(name))
				never := low == "authorization" || low == "proxy-authorization" || low == "cookie" && len(value) < 20
				want = append(want, line(low, string(value), never))
				block = w.field(block, name, value, false)
			}
		}
		check()
	})
}
