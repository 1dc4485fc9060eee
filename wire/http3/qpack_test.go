package http3

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/quic-go/qpack"
)

// collector is a fieldSink that writes fields down.
type collector struct{ text strings.Builder }

func (c *collector) Field(name, value []byte, never bool) bool {
	fmt.Fprintf(&c.text, "%s=%s", name, value)
	if never {
		c.text.WriteString(" never")
	}
	c.text.WriteByte('\n')
	return true
}

func decode(block []byte) (string, error) {
	var c collector
	err := new(sectionReader).read(block, &c)
	return c.text.String(), err
}

// pairs of names and values that take every way through the encoder.
var pairs = [][2]string{
	{":status", "200"}, {":status", "418"}, {"content-type", "text/html; charset=utf-8"}, {"content-type", "x/y"},
	{"x-mine", ""}, {"x-mine", "a value"}, {"x-long", strings.Repeat("long ", 100)}, {"age", "0"}, {"age", "1"},
	{"etag", ""}, {"x-bytes", "\x80\xff~^"}, {":authority", "example.com"}, {strings.Repeat("n", 40), "v"},
}

// TestFieldsPassBothCodecs: ours reads what ours and quic-go's write, which
// reads what ours writes.
func TestFieldsPassBothCodecs(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	ours := appendSection(nil)
	var theirs bytes.Buffer
	e := qpack.NewEncoder(&theirs)
	for _, p := range pairs {
		fmt.Fprintf(&want, "%s=%s\n", p[0], p[1])
		ours = appendField(ours, p[0], p[1], false)
		if err := e.WriteField(qpack.HeaderField{Name: p[0], Value: p[1]}); err != nil {
			t.Fatal(err)
		}
	}
	for who, block := range map[string][]byte{"ours": ours, "theirs": theirs.Bytes()} {
		if got, err := decode(block); err != nil || got != want.String() {
			t.Errorf("%s: %v\n%s", who, err, got)
		}
	}
	var back strings.Builder
	next := qpack.NewDecoder().Decode(ours)
	for f, err := next(); err == nil; f, err = next() {
		fmt.Fprintf(&back, "%s=%s\n", f.Name, f.Value)
	}
	if back.String() != want.String() {
		t.Errorf("they read\n%s", &back)
	}
}

func TestFieldsThatNeverEnterTables(t *testing.T) {
	t.Parallel()
	block := appendSection(nil)
	for _, name := range []string{"authorization", "x-secret", "age"} {
		block = appendField(block, name, "0", true)
	}
	got, err := decode(block)
	if want := "authorization=0 never\nx-secret=0 never\nage=0 never\n"; err != nil || got != want {
		t.Errorf("%v %s", err, got)
	}
}

func TestBadSections(t *testing.T) {
	t.Parallel()
	for what, block := range map[string]string{
		"empty":                              "",
		"no base":                            "\x00",
		"a reference to the table":           "\x01\x00",
		"a base below nothing":               "\x00\x80",
		"indexed, of the table":              "\x00\x00\x80",
		"indexed, beyond its end":            "\x00\x00\xff\x24",
		"indexed, cut":                       "\x00\x00\xff",
		"indexed, endless":                   "\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"name of the table":                  "\x00\x00\x40\x00",
		"name beyond the static table":       "\x00\x00\x5f\x54\x00",
		"post-base":                          "\x00\x00\x10",
		"post-base name":                     "\x00\x00\x00\x00",
		"no value":                           "\x00\x00\x51",
		"value cut":                          "\x00\x00\x51\x05abc",
		"name cut":                           "\x00\x00\x23ab",
		"name without value":                 "\x00\x00\x22ab",
		"bad padding of the code":            "\x00\x00\x51\x81\x00",
		"a whole byte of padding":            "\x00\x00\x51\x82\x1f\xff\xff",
		"end of string within the code":      "\x00\x00\x51\x84\xff\xff\xff\xff",
		"bad code in a name":                 "\x00\x00\x29\x00\x00",
		"a length that passes what there is": "\x00\x00\x51\x7f\xff\xff\xff\xff\xff\xff\x7f",
	} {
		if got, err := decode([]byte(block)); err == nil {
			t.Errorf("%s: %q", what, got)
		}
	}
}

// FuzzSections: what both decoders accept they read alike.
func FuzzSections(f *testing.F) {
	block := appendSection(nil)
	for _, p := range pairs {
		block = appendField(block, p[0], p[1], len(p[1])%2 == 0)
	}
	f.Add(block)
	f.Add([]byte("\x00\x00\x51\x82\x1f\xff\xff"))
	f.Fuzz(func(t *testing.T, block []byte) {
		got, err := decode(block)
		var want strings.Builder
		next := qpack.NewDecoder().Decode(block)
		field, end := next()
		for ; end == nil; field, end = next() {
			fmt.Fprintf(&want, "%s=%s\n", field.Name, field.Value)
		}
		if whole := end.Error() == "EOF"; err == nil && whole && strings.ReplaceAll(got, " never\n", "\n") != strings.ReplaceAll(want.String(), " never\n", "\n") {
			t.Errorf("%x: ours\n%stheirs\n%s", block, got, &want)
		}
	})
}
