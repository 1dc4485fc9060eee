package http2

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// listed is a sink that keeps what it is told, at most most fields.
type listed struct {
	fields []string
	most   int
}

func (l *listed) field(name, value []byte, never bool) bool {
	l.fields = append(l.fields, line(string(name), string(value), never))
	return len(l.fields) != l.most
}

func line(name, value string, never bool) string {
	if never {
		return fmt.Sprintf("%q: %q never", name, value)
	}
	return fmt.Sprintf("%q: %q", name, value)
}

func newReader(table uint32) *hpackReader {
	r := &hpackReader{}
	r.init(table)
	return r
}

// blockOf reads octets with blanks between them.
func blockOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// content shows a table, the newest first.
func content(t *hpackTable) (lines []string) {
	for i := range t.count {
		name, value := t.at(i)
		lines = append(lines, line(string(name), string(value), false))
	}
	return lines
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ff", 4)
	for _, c := range []struct {
		name  string
		block string
		want  error
	}{
		{"index 0", "80", errIndex},
		{"index of the last static entry and one", "be", errIndex},
		{"index far beyond", "ff 80 80 80 80 07", errIndex},
		{"name index beyond", "7f 00 01 61", errIndex},
		{"name index beyond, not indexed", "0f 2f 01 61", errIndex},
		{"integer above 2^31-1", "ff 81 ff ff ff 07", errInteger},
		{"integer of 64 bits", "ff ff ff ff ff ff ff ff ff ff 01", errInteger},
		{"integer with endless zeros", "ff 80 80 80 80 80 00", errInteger},
		{"integer without its end", "ff 80 80", errTruncated},
		{"integer without a beginning", "ff", errTruncated},
		{"literal without a name", "40", errTruncated},
		{"name without its end", "40 02 61", errTruncated},
		{"literal without a value", "40 01 61", errTruncated},
		{"value without its end", "40 01 61 02 61", errTruncated},
		{"value with a huge length", "40 01 61 7f 80 80 80 80 07", errTruncated},
		{"value with a length that overflows", "40 01 61 7f ff ff ff ff 7f", errInteger},
		{"EOS in a string", "40 01 61 84 " + long, errHuffman},
		{"EOS behind a symbol", "40 01 61 85 1f" + long, errHuffman},
		{"padding of eight bits", "40 01 61 82 1f ff", errHuffman},
		{"padding of nothing but eight bits", "40 01 61 81 ff", errHuffman},
		{"padding of zeros", "40 01 61 81 18", errHuffman},
		{"padding of ones and a zero", "40 01 61 81 1e", errHuffman},
		{"size update above the limit", "3f e2 1f", errTable},
		{"size update behind a field", "82 20", errTable},
		{"third size update", "20 3f e1 1f 20", errTable},
		{"size update without its end", "3f", errTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := newReader(4096).read(blockOf(t, c.block), &listed{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestReadAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		block string
		want  []string
	}{
		{"nothing", "", nil},
		{"size updates alone", "20 3f e1 1f", nil},
		{"size updates and a field", "20 3f e1 1f 82", []string{`":method": "GET"`}},
		{"empty name", "00 00 01 61", []string{`"": "a"`}},
		{"empty name and value in Huffman code", "40 80 80", []string{`"": ""`}},
		{"integer with zeros", "3f 80 80 80 80 00", nil},
		{"padding of no bits", "00 01 61 85 00 00 00 00 00", []string{`"a": "00000000"`}},
		{"padding of seven bits", "00 01 61 83 00 2e 7f", []string{`"a": "00:"`}},
		{"name from the table", "40 01 61 01 62 7e 01 63", []string{`"a": "b"`, `"a": "c"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got listed
			err := newReader(4096).read(blockOf(t, c.block), &got)
			if err != nil || !slices.Equal(got.fields, c.want) {
				t.Errorf("got %q, %v, want %q", got.fields, err, c.want)
			}
		})
	}
}

// A setting that was acknowledged binds the peer's next block (RFC 7541
// section 4.2).
func TestReadLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits []uint32
		block  string
		want   error
	}{
		{"shrunk in silence", []uint32{100}, "82", errTable},
		{"shrunk in silence, no field", []uint32{100}, "", errTable},
		{"shrunk too little", []uint32{100}, "3f 46 82", errTable},
		{"shrunk", []uint32{100}, "3f 45 82", nil},
		{"shrunk more", []uint32{100}, "20 82", nil},
		{"shrunk, then more", []uint32{100}, "3f 45 20 82", nil},
		{"shrunk for a while, in silence", []uint32{100, 4096}, "82", errTable},
		{"shrunk for a while, last size only", []uint32{100, 4096}, "3f e1 1f 82", errTable},
		{"shrunk for a while", []uint32{100, 4096}, "3f 45 3f e1 1f 82", nil},
		{"grown in silence", []uint32{8192}, "82", nil},
		{"grown", []uint32{8192}, "3f e1 3f 82", nil},
		{"grown too far", []uint32{8192}, "3f e2 3f 82", errTable},
		{"the same", []uint32{4096}, "82", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(4096)
			for _, n := range c.limits {
				r.setLimit(n)
			}
			if err := r.read(blockOf(t, c.block), &listed{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil {
				if err := r.read(blockOf(t, "82"), &listed{}); err != nil {
					t.Errorf("next block: %v", err)
				}
			}
		})
	}
}

// What our first SETTINGS allow may be used at once if it is more than the
// default; if it is less the peer may not know yet.
func TestReadFirstLimit(t *testing.T) {
	t.Parallel()
	if err := newReader(8192).read(blockOf(t, "3f e1 3f"), &listed{}); err != nil {
		t.Errorf("8192 of 8192: %v", err)
	}
	if err := newReader(0).read(blockOf(t, "40 01 61 01 62 be"), &listed{}); err != nil {
		t.Errorf("table before our SETTINGS came: %v", err)
	}
}

// A sink that has enough is told nothing more, and the table stays in step.
func TestReadAfterRefusal(t *testing.T) {
	t.Parallel()
	r := newReader(4096)
	got := listed{most: 2}
	// The third field goes into the table by Huffman code; the fourth is
	// malformed there and of no interest.
	err := r.read(blockOf(t, "82 84 40 01 61 83 00 2e 7f 00 01 61 84 ff ff ff ff be"), &got)
	if want := []string{`":method": "GET"`, `":path": "/"`}; err != nil || !slices.Equal(got.fields, want) {
		t.Errorf("got %q, %v, want %q", got.fields, err, want)
	}
	got = listed{}
	err = r.read(blockOf(t, "be"), &got)
	if want := []string{`"a": "00:"`}; err != nil || !slices.Equal(got.fields, want) {
		t.Errorf("got %q, %v, want %q", got.fields, err, want)
	}
	for _, block := range []string{"82 84 bf", "82 84 00 01 61 05 62"} {
		if err := r.read(blockOf(t, block), &listed{most: 1}); err == nil {
			t.Errorf("%s was accepted", block)
		}
	}
}

// fresh is a block of literals, each new: plain, in Huffman code, for the table
// and not. It keeps its length.
func fresh(out []byte, n int) []byte {
	text := fmt.Appendf(nil, "%08d-abcdefgh-%08d", n, n*7)
	code := appendHuffman(nil, text)
	for _, first := range []byte{passedField, addedField, neverField} {
		out = appendPlain(append(out, first), text)
		out = appendPlain(out, text)
		out = appendInteger(append(out, first), huffmanString, stringMask, uint32(len(code)))
		out = append(out, code...)
		out = appendInteger(out, huffmanString, stringMask, uint32(len(code)))
		out = append(out, code...)
	}
	// And with the name of the entry before.
	out = append(out, addedField|0x3e)
	return appendPlain(out, text)
}

func TestReadAllocates(t *testing.T) {
	var blocks [][]byte
	for n := range 300 {
		blocks = append(blocks, fresh(nil, n))
	}
	scratch := []byte{}
	r := &hpackReader{scratch: &scratch}
	r.init(4096)
	sink := &discard{}
	next := 0
	read := func() {
		if err := r.read(blocks[next%len(blocks)], sink); err != nil {
			t.Error(err)
		}
		next++
	}
	for range 100 {
		read()
	}
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sink.n == 0 {
		t.Error("nothing was read")
	}
}

// The table of a connection takes memory by use, and gives it back.
func TestTableMemory(t *testing.T) {
	t.Parallel()
	r := newReader(4096)
	if r.table.buf != nil || r.table.entries != nil {
		t.Error("a new reader has memory for its table")
	}
	if size := reflect.TypeFor[hpackReader]().Size(); size > 120 {
		t.Errorf("a reader takes %d bytes", size)
	}
	if size := reflect.TypeFor[hpackWriter]().Size(); size > 256 {
		t.Errorf("a writer takes %d bytes", size)
	}
	if err := r.read(blockOf(t, "40 01 61 01 62"), &listed{}); err != nil || len(r.table.buf) != smallTable {
		t.Errorf("%d bytes for one entry, %v", len(r.table.buf), err)
	}
	for n := range 300 {
		if err := r.read(fresh(nil, n), &listed{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.table.buf); n != 4096 {
		t.Errorf("%d bytes for a full table", n)
	}
	if err := r.read(blockOf(t, "20"), &listed{}); err != nil || r.table.buf != nil || r.table.entries != nil {
		t.Errorf("%d bytes for a table of nothing, %v", len(r.table.buf), err)
	}
	const zeros = keepScratch + 4 // octets, a multiple of five bits
	long := appendInteger([]byte{0, 1, 'a'}, huffmanString, stringMask, zeros)
	if err := r.read(append(long, make([]byte, zeros)...), &listed{}); err != nil || cap(*r.scratch) > keepScratch {
		t.Errorf("%d bytes of scratch are kept, %v", cap(*r.scratch), err)
	}
}

// An entry that is as large as the table, one that is larger (RFC 7541 section
// 4.4), and one that takes its name from the entry that it displaces.
func TestTableEdges(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("n", 4096-entryCost-1)
	block := appendPlain([]byte{addedField}, big)
	block = append(block, 1, 'v')
	r := newReader(4096)
	if err := r.read(block, &listed{}); err != nil || r.table.used != 4096 || r.table.count != 1 {
		t.Fatalf("%d octets used, %v", r.table.used, err)
	}
	var got listed
	want := []string{line(big, "w", false), line(big, "w", false)}
	if err := r.read([]byte{addedField | 62, 1, 'w', 0xbe}, &got); err != nil || !slices.Equal(got.fields, want) {
		t.Fatalf("name of the displaced entry: %.100q, %v", got.fields, err)
	}
	got = listed{}
	want = []string{line(big, "xy", false)}
	if err := r.read([]byte{addedField | 62, 2, 'x', 'y'}, &got); err != nil || !slices.Equal(got.fields, want) {
		t.Fatalf("too large: %.100q, %v", got.fields, err)
	}
	if r.table.count != 0 || r.table.used != 0 {
		t.Errorf("%d entries of %d octets", r.table.count, r.table.used)
	}
}
