package http2

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// vector is an example of RFC 7541 appendix C.
type vector struct {
	name          string
	block         []byte
	fields, table []string
	size          uint32
}

// TestAppendixC reads testdata/hpack/appendix_c.txt. A line "example" begins a
// new connection whose table has the size that follows, "after" goes on with
// the one before.
func TestAppendixC(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/hpack/appendix_c.txt")
	if err != nil {
		t.Fatal(err)
	}
	var r *hpackReader
	var v vector
	count := 0
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "", "#":
		case "integer":
			testInteger(t, rest)
		case "example", "after":
			var table uint32
			v = vector{}
			if _, err := fmt.Sscan(rest, &v.name, &table); err != nil {
				t.Fatal(err)
			}
			if key == "example" {
				r = newReader(table)
				r.table.resize(table)
			}
		case ">":
			v.block = append(v.block, blockOf(t, rest)...)
		case "field":
			v.fields = append(v.fields, rest)
		case "table":
			v.table = append(v.table, rest)
		case "size":
			if _, err := fmt.Sscan(rest, &v.size); err != nil {
				t.Fatal(err)
			}
			var got listed
			if err := r.read(v.block, &got); err != nil {
				t.Errorf("%s: %v", v.name, err)
			}
			if !slices.Equal(got.fields, v.fields) {
				t.Errorf("%s: got %q, want %q", v.name, got.fields, v.fields)
			}
			if table := content(&r.table); !slices.Equal(table, v.table) || r.table.used != v.size {
				t.Errorf("%s: table is %q of %d octets, want %q of %d", v.name, table, r.table.used, v.table, v.size)
			}
			count++
		default:
			t.Fatalf("%q is not understood", line)
		}
	}
	if count != 16 {
		t.Errorf("%d examples, want 16", count)
	}
}

// testInteger reads and writes "prefix octets value" (section C.1).
func testInteger(t *testing.T, example string) {
	t.Helper()
	var prefix, value uint32
	var octets string
	if _, err := fmt.Sscan(example, &prefix, &octets, &value); err != nil {
		t.Fatal(err)
	}
	block := blockOf(t, octets)
	mask := byte(1<<prefix - 1)
	if got := appendInteger(nil, 0, mask, value); !slices.Equal(got, block) {
		t.Errorf("%d is written as %x, want %x", value, got, block)
	}
	got := uint32(block[0])
	if block[0] == mask {
		var rest []byte
		var err error
		if got, rest, err = readInteger(uint32(mask), block[1:]); err != nil || len(rest) != 0 {
			t.Errorf("%s: %v, %d octets left", octets, err, len(rest))
		}
	}
	if got != value {
		t.Errorf("%s is read as %d, want %d", octets, got, value)
	}
}

func TestIntegerBounds(t *testing.T) {
	t.Parallel()
	for _, v := range []uint32{127, 128, 254, 255, 256, 1<<14 + 126, 1<<21 + 127, 1<<28 + 127, maxInteger - 1, maxInteger} {
		b := appendInteger(nil, 0, 0x7f, v)
		got, rest, err := readInteger(0x7f, b[1:])
		if err != nil || got != v || len(rest) != 0 {
			t.Errorf("%d: got %d, %v", v, got, err)
		}
		for i := 1; i < len(b); i++ {
			if _, _, err := readInteger(0x7f, b[1:i]); !errors.Is(err, errTruncated) {
				t.Errorf("%d cut to %d octets: %v", v, i, err)
			}
		}
	}
	if _, _, err := readInteger(0x7f, appendInteger(nil, 0, 0x7f, maxInteger+1)[1:]); !errors.Is(err, errInteger) {
		t.Errorf("2^31: %v", err)
	}
}
