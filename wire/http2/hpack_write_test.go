package http2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// randomFields makes lists as odd peers would: known names and others, values
// that come again and values that do not, in any case, of any octets.
type randomFields struct{ r *rand.Rand }

func (g randomFields) name() string {
	var name string
	switch g.r.IntN(4) {
	case 0:
		name = staticNames[g.r.IntN(len(staticNames))].name
	case 1:
		name = habits[g.r.IntN(len(habits))].name
	case 2:
		name = fmt.Sprintf("x-%d", g.r.IntN(40))
	default:
		name = "x-" + g.octets(g.r.IntN(80))
	}
	if g.r.IntN(3) == 0 {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	return name
}

func (g randomFields) value(name string) string {
	switch g.r.IntN(5) {
	case 0:
		return fmt.Sprint(len(name), " of a value that repeats ", g.r.IntN(5))
	case 1:
		return g.octets(g.r.IntN(300))
	case 2:
		return strings.Repeat("ab ", g.r.IntN(2000)/(1+g.r.IntN(100)))
	case 3:
		return []string{"", "GET", "/", "200", "https", "gzip, deflate"}[g.r.IntN(6)]
	}
	return fmt.Sprint(g.r.IntN(100))
}

func (g randomFields) octets(n int) string {
	b := make([]byte, n)
	most := []int{256, 128, 64}[g.r.IntN(3)]
	for i := range b {
		b[i] = byte(g.r.IntN(most))
	}
	return string(b)
}

// lowerASCII is the name that must arrive.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// theirs is a decoder of x/net that gives what it decodes.
type theirs struct {
	*hpack.Decoder
	fields []string
}

func newTheirs(table uint32) *theirs {
	d := &theirs{}
	d.Decoder = hpack.NewDecoder(table, func(f hpack.HeaderField) {
		d.fields = append(d.fields, line(f.Name, f.Value, f.Sensitive))
	})
	return d
}

// read decodes a block. A size update counts as a field to x/net, so that it
// refuses a second one: each gets a block of its own.
func (d *theirs) read(block []byte) error {
	d.fields = nil
	for len(block) > 0 && block[0]&0xe0 == sizeUpdate {
		n := 1
		if block[0] == sizeUpdate|sizeMask {
			for n++; n < len(block) && block[n-1] >= 0x80; n++ {
			}
			n = min(n, len(block))
		}
		if _, err := d.Write(block[:n]); err != nil {
			return err
		}
		if err := d.Close(); err != nil {
			return err
		}
		block = block[n:]
	}
	if _, err := d.Write(block); err != nil {
		return err
	}
	return d.Close()
}

// Every list arrives at a decoder of x/net, and at our own, whatever the peer
// does to the size of the table.
func TestWriteIsRead(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		g := randomFields{rand.New(rand.NewPCG(seed, 7541))}
		var w hpackWriter
		w.init()
		d, r := newTheirs(4096), newReader(4096)
		var block []byte
		for round := range 60 {
			for g.r.IntN(8) == 0 {
				n := uint32(g.r.IntN(5000) / (1 + g.r.IntN(40)))
				w.setPeerTable(n)
				d.SetAllowedMaxDynamicTableSize(n)
				r.setLimit(n)
			}
			var want []string
			block = w.begin(block[:0])
			if g.r.IntN(2) == 0 {
				code := 100 + g.r.IntN(500)
				block = w.status(block, code)
				want = append(want, line(":status", fmt.Sprint(code), false))
			}
			for range g.r.IntN(12) {
				name := g.name()
				value, never := g.value(name), g.r.IntN(20) == 0
				if g.r.IntN(2) == 0 {
					block = w.fieldString(block, name, value, never)
				} else {
					block = w.field(block, []byte(name), []byte(value), never)
				}
				low := lowerASCII(name)
				never = never || low == "authorization" || low == "proxy-authorization" || low == "cookie" && len(value) < 20
				want = append(want, line(low, value, never))
			}
			if err := d.read(block); err != nil || !slices.Equal(d.fields, want) {
				t.Fatalf("seed %d, round %d: x/net read\n%s\nwant\n%s\n%v, %x", seed, round,
					strings.Join(d.fields, "\n"), strings.Join(want, "\n"), err, block)
			}
			var got listed
			if err := r.read(block, &got); err != nil || !slices.Equal(got.fields, want) {
				t.Fatalf("seed %d, round %d: read\n%s\nwant\n%s\n%v, %x", seed, round,
					strings.Join(got.fields, "\n"), strings.Join(want, "\n"), err, block)
			}
			if a, b := content(&w.table), content(&r.table); !slices.Equal(a, b) || w.table.used != r.table.used {
				t.Fatalf("seed %d, round %d: tables differ:\n%q\n%q", seed, round, a, b)
			}
		}
	}
}

// Whatever an encoder of x/net sends is read.
func TestReadWhatOthersWrite(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		g := randomFields{rand.New(rand.NewPCG(seed, 7540))}
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		r := newReader(4096)
		for round := range 60 {
			for g.r.IntN(8) == 0 {
				n := uint32(g.r.IntN(5000) / (1 + g.r.IntN(40)))
				e.SetMaxDynamicTableSize(n)
				r.setLimit(n)
			}
			var want []string
			block.Reset()
			for range 1 + g.r.IntN(12) {
				name := lowerASCII(g.name())
				f := hpack.HeaderField{Name: name, Value: g.value(name), Sensitive: g.r.IntN(20) == 0}
				if err := e.WriteField(f); err != nil {
					t.Fatal(err)
				}
				want = append(want, line(f.Name, f.Value, f.Sensitive))
			}
			var got listed
			if err := r.read(block.Bytes(), &got); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
			// A field that is in the table is sent by its index, sensitive or not.
			for i, f := range got.fields {
				if f != want[i] && f+" never" != want[i] {
					t.Fatalf("seed %d, round %d: field %d: got %s, want %s", seed, round, i, f, want[i])
				}
			}
			if len(got.fields) != len(want) {
				t.Fatalf("seed %d, round %d: %d fields, want %d", seed, round, len(got.fields), len(want))
			}
		}
	}
}
