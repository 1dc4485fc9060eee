package secure

import (
	"crypto/tls"
	"testing"
)

// sealed counts the records and the raw writes of one Write.
func TestWriteJoinsParts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, records int }{
		{100, 0, 1},
		{0, 100, 1},
		{100, 200, 1},
		{100, recordPlain - 100, 1},
		{100, recordPlain, 2},
		{recordPlain, 0, 1},
		{recordPlain, 1, 2},
		{recordPlain + 1, recordPlain - 1, 2},
		{3*recordPlain + 5, 2*recordPlain + 5, 6},
		{0, 0, 0},
	} {
		rec := newRecorder()
		a, _ := established(t, tls.VersionTLS13, rec)
		a.loop.do(func() {
			var out []byte
			a.raw.other = sink(func(b []byte) { out = append(out, b...) })
			before := a.raw.writes
			rec.conn.Write(make([]byte, c.a), make([]byte, c.b))
			records := 0
			for len(out) > 0 {
				records++
				out = out[recordLen(out):]
			}
			if writes := a.raw.writes - before; records != c.records || writes != min(records, 1) {
				t.Errorf("Write(%d, %d): %d records in %d writes, want %d", c.a, c.b, records, writes, c.records)
			}
		})
	}
}

// sink is an end that takes data on the writer's goroutine.
type sink func(b []byte)

func (s sink) data(b []byte) { s(b) }
func (s sink) eof()          {}
func (s sink) reset()        {}
