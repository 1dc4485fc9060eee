package http2

import (
	"encoding/hex"
	"errors"
	"fmt"
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

// unhex reads octets with blanks between them.
func unhex(t testing.TB, s string) []byte {
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
			if err := newReader(4096).read(unhex(t, c.block), &listed{}); !errors.Is(err, c.want) {
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
			err := newReader(4096).read(unhex(t, c.block), &got)
			if err != nil || !slices.Equal(got.fields, c.want) {
				t.Errorf("got %q, %v, want %q", got.fields, err, c.want)
			}
		})
	}
}
