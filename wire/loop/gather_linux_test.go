package loop

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/naru-mesh/naru/wire"
)

// held lets n connections send "go" while the loop looks away, so that it finds
// all of them at once, and calls do for each with its number.
func held(t *testing.T, n int, do func(i int, s *script)) []io.ReadCloser {
	t.Helper()
	d := start(t, 1)
	opened := make(chan struct{}, n)
	l, err := d.Listen(loopback, wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		c.SetHandler(&script{c: c, data: func(s *script, b []byte) { do(int(b[0]), s) }})
		opened <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	clients := make([]io.ReadCloser, n)
	for i := range clients {
		c := client(t, l)
		clients[i] = c
		await(t, "accept", opened)
	}
	on(t, d.loops[0], func() {
		for i, c := range clients {
			if _, err := c.(io.Writer).Write([]byte{byte(i)}); err != nil {
				t.Error(err)
			}
		}
	})
	return clients
}

// TestGather: what is gathered is sent in order, whatever follows it.
func TestGather(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long", joinMax)
	var first wire.Conn // that others write to
	cases := []struct {
		name string
		do   func(c wire.Conn)
		want string
	}{
		{"two slices", func(c wire.Conn) { c.Write([]byte("ab"), []byte("cd")) }, "abcd"},
		{"one after another", func(c wire.Conn) { c.Write([]byte("ab"), nil); c.Write([]byte("cd"), nil) }, "abcd"},
		{"another's between", func(c wire.Conn) {
			c.Write([]byte("ab"), nil)
			first.Write([]byte("!"), nil)
			c.Write([]byte("cd"), nil)
			c.Write([]byte("ef"), nil)
		}, "abcdef"},
		{"a long one", func(c wire.Conn) { c.Write([]byte("ab"), nil); c.Write([]byte(long), []byte("cd")) }, "ab" + long + "cd"},
		{"then closed", func(c wire.Conn) { c.Write([]byte("ab"), nil); c.Close() }, "ab"},
		{"then finished", func(c wire.Conn) { c.Write([]byte("ab"), nil); c.Finish() }, "ab"},
		{"then half-closed", func(c wire.Conn) { c.Write([]byte("ab"), nil); c.CloseWrite() }, "ab"},
		{"then reset", func(c wire.Conn) { c.Write([]byte("ab"), nil); c.Abort() }, "ab"},
	}
	clients := held(t, 1+4*len(cases), func(i int, s *script) {
		if i == 0 {
			first = s.c
			return
		}
		l := s.c.(*conn).loop
		if !l.gathered.on {
			t.Errorf("%d: of %d events at once, writes are not gathered", i, l.got)
		}
		before := s.c.Buffered()
		s.c.Write([]byte("("), nil)
		if got := s.c.Buffered(); got != before+1 {
			t.Errorf("%d: %d bytes wait, want %d", i, got, before+1)
		}
		cases[(i-1)%len(cases)].do(s.c)
		s.c.Write([]byte(")"), nil)
		s.c.Close()
	})
	marks := make([]byte, 4)
	if _, err := io.ReadFull(clients[0], marks); err != nil || string(marks) != "!!!!" {
		t.Errorf("the first read %q, %v", marks, err)
	}
	for i, c := range clients[1:] {
		k := cases[i%len(cases)]
		got, err := io.ReadAll(c)
		if err != nil && !strings.HasPrefix(k.name, "then reset") {
			t.Errorf("%d: %s: %v", i, k.name, err)
		}
		want := "(" + k.want
		if !strings.HasPrefix(k.name, "then ") {
			want += ")"
		}
		if string(got) != want {
			t.Errorf("%d: %s: read %d bytes %.40q, want %d", i, k.name, len(got), got, len(want))
		}
	}
}

// TestGatherIsBounded: more than fits is sent all the same, and a few events
// are answered at once.
func TestGatherIsBounded(t *testing.T) {
	t.Parallel()
	const n = 100
	piece := bytes.Repeat([]byte("x"), joinMax)
	for i, c := range held(t, n, func(_ int, s *script) {
		s.c.Write(piece, nil)
		if g := &s.c.(*conn).loop.gathered; len(g.data) > gatherSize || cap(g.data) != gatherSize {
			t.Errorf("%d bytes gathered", len(g.data))
		}
		s.c.Close()
	}) {
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, piece) {
			t.Errorf("%d: %d bytes, %v", i, len(got), err)
		}
	}
	for _, c := range held(t, gatherFrom/2, func(_ int, s *script) {
		if l := s.c.(*conn).loop; l.gathered.on && l.got < gatherFrom {
			t.Error("writes are gathered where few events wait")
		}
		s.c.Write([]byte("soon"), nil)
		s.c.Close()
	}) {
		if got, err := io.ReadAll(c); string(got) != "soon" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestGatherPanic: what the others have gathered is sent although a handler
// panics.
func TestGatherPanic(t *testing.T) {
	t.Parallel()
	const n = 2 * gatherFrom
	for i, c := range held(t, n, func(i int, s *script) {
		s.c.Write([]byte("fine"), nil)
		if i == n/2 {
			panic("on purpose")
		}
	}) {
		got := make([]byte, 4)
		_, err := io.ReadFull(c, got)
		if i == n/2 {
			if err == nil {
				continue // it may have been sent before
			}
			got = []byte("fine")
		}
		if string(got) != "fine" {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
}
