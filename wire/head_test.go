package wire

import (
	"strings"
	"testing"
)

// headOf makes a head of field lines, as a codec does.
func headOf(lines ...string) *Head {
	h := &Head{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.AddRaw([]byte(name), []byte(value))
	}
	return h
}

func TestHeadFind(t *testing.T) {
	t.Parallel()
	h := headOf("X-A: 1", "Cookie: a=b", "x-a: 2", "COOKIE: c=d", "X-B: ")
	for _, c := range []struct {
		key    string
		value  string
		joined string
		ok     bool
		lines  int
	}{
		{"x-A", "1", "1, 2", true, 2}, {"cookie", "a=b", "a=b, c=d", true, 2}, {"X-B", "", "", true, 1}, {"X-C", "", "", false, 0},
	} {
		k := KeyOf(c.key)
		v, ok := h.Get(k)
		if string(v) != c.value || ok != c.ok || h.Has(k) != c.ok {
			t.Errorf("%s: got %q, %v", c.key, v, ok)
		}
		if j, ok := h.Joined(k, nil); string(j) != c.joined || ok != c.ok {
			t.Errorf("%s: joined %q, %v", c.key, j, ok)
		}
		n := 0
		for i := h.Next(k, 0); i >= 0; i = h.Next(k, i+1) {
			n++
		}
		if n != c.lines {
			t.Errorf("%s: %d lines", c.key, n)
		}
	}
}

func TestHeadEdit(t *testing.T) {
	t.Parallel()
	a, b := KeyOf("X-A"), KeyOf("X-B")
	for _, c := range []struct {
		name string
		edit func(h *Head)
		want string
	}{
		{"nothing", func(*Head) {}, "X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n"},
		{"remove", func(h *Head) { h.Remove(a) }, "X-B: 2\r\n"},
		{"remove the middle", func(h *Head) { h.Remove(b) }, "X-A: 1\r\nx-a: 3\r\n"},
		{"add", func(h *Head) { h.Add(b, []byte("4")) }, "X-A: 1\r\nX-B: 2\r\nx-a: 3\r\nX-B: 4\r\n"},
		{"set", func(h *Head) { h.Set(a, []byte("4")) }, "X-B: 2\r\nX-A: 4\r\n"},
		{"set to itself", func(h *Head) { v, _ := h.Get(b); h.Set(b, v) }, "X-A: 1\r\nx-a: 3\r\nX-B: 2\r\n"},
		{"set a string", func(h *Head) { h.SetString(b, "") }, "X-A: 1\r\nx-a: 3\r\nX-B: \r\n"},
		{"keep between", func(h *Head) { h.Keep([]byte("rubbish")); h.AddString(b, "4") }, "X-A: 1\r\nX-B: 2\r\nx-a: 3\r\nX-B: 4\r\n"},
		{"remove all", func(h *Head) { h.Remove(a); h.Remove(b) }, ""},
		{"reset", func(h *Head) { h.Reset() }, ""},
	} {
		h := headOf("X-A: 1", "X-B: 2", "x-a: 3")
		c.edit(h)
		if got := string(h.AppendFields([]byte("!"))); got != "!"+c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	if h := headOf("X-A: 1"); h.Remove(b) || !h.Remove(a) || h.Remove(a) {
		t.Error("Remove says wrongly whether there was something")
	}
}

// TestHeadWithStart: a codec's Buf begins with the request line.
func TestHeadWithStart(t *testing.T) {
	t.Parallel()
	h := &Head{Buf: []byte("GET / HTTP/1.1\r\nA: b\r\n\r\n")}
	h.Fields = []Field{{Start: 16, NameEnd: 17, ValueStart: 19, ValueEnd: 20, End: 22}}
	h.AddString(KeyOf("C"), "d")
	if got := string(h.AppendFields(nil)); got != "A: b\r\nC: d\r\n" {
		t.Errorf("%q", got)
	}
}

func TestHeadCopy(t *testing.T) {
	t.Parallel()
	src := headOf("X-A: 1", "X-B: 2")
	src.Method, src.Path, src.Query, src.HasQuery, src.Authority = []byte("GET"), []byte("/p"), []byte("q"), true, []byte("h")
	src.Length, src.Minor = 3, 1
	src.Remove(KeyOf("X-A"))
	var h Head
	h.AddString(KeyOf("Old"), "x")
	h.CopyFrom(src)
	for i := range src.Buf {
		src.Buf[i] = '?'
	}
	copy(src.Path, "??")
	if got := string(h.AppendFields(nil)); got != "X-B: 2\r\n" {
		t.Errorf("fields %q", got)
	}
	if string(h.Method) != "GET" || string(h.Path) != "/p" || string(h.Query) != "q" || !h.HasQuery || string(h.Authority) != "h" || h.Length != 3 || h.Minor != 1 {
		t.Errorf("%+v", h)
	}
}

func TestHeadReset(t *testing.T) {
	t.Parallel()
	h := headOf("X-A: 1")
	h.Status = 200
	h.Reset()
	if cap(h.Buf) == 0 || len(h.Buf) != 0 || cap(h.Fields) == 0 || len(h.Fields) != 0 || h.Status != 0 {
		t.Errorf("%+v", h)
	}
	h.AddString(KeyOf("X"), strings.Repeat("x", 65<<10))
	h.Reset()
	if cap(h.Buf) != 0 {
		t.Error("a very large buffer was kept")
	}
}

// TestHeadAllocates nothing once it has grown.
func TestHeadAllocates(t *testing.T) {
	h := headOf("X-A: 1", "X-B: 2")
	src := headOf("X-A: 1", "X-B: 2")
	k, out := KeyOf("X-A"), make([]byte, 0, 100)
	n := testing.AllocsPerRun(100, func() {
		h.CopyFrom(src)
		h.SetString(k, "2")
		out = h.AppendFields(out[:0])
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSeal: what was there when the head was sealed is found again, and what
// was dropped before is not.
func TestSeal(t *testing.T) {
	var h, then Head
	early, kept, late, added := KeyOf("X-Early"), KeyOf("X-Kept"), KeyOf("X-Late"), KeyOf("X-Added")
	for range 2 {
		h.Reset()
		h.Length = -1
		h.AddString(early, "1")
		h.AddString(kept, "2")
		h.AddString(late, "3")
		h.AddString(KeyTE, "trailers")
		h.Remove(early)
		h.Seal()
		h.SetString(late, "4")
		h.AddString(added, "5")
		h.Drop(SetOf(TE))
		then.CopySealed(&h)
		if got := string(then.AppendFields(nil)); got != "X-Kept: 2\r\nX-Late: 3\r\nTE: trailers\r\n" {
			t.Errorf("then it had %q", got)
		}
		if got := string(h.AppendFields(nil)); got != "X-Kept: 2\r\nX-Late: 4\r\nX-Added: 5\r\n" {
			t.Errorf("now it has %q", got)
		}
	}
	h.Reset()
	h.AddString(kept, "2")
	h.Remove(kept)
	then.CopySealed(&h)
	if got := string(then.AppendFields(nil)); got != "" {
		t.Errorf("without a seal: %q", got)
	}
}
