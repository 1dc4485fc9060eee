package loop

import (
	"io"
	"testing"
)

func TestEcho(t *testing.T) {
	t.Parallel()
	d := start(t, 2)
	l := listen(t, d, echo)
	for range 8 {
		c := client(t, l)
		for _, word := range []string{"a", "river", "crossing"} {
			if _, err := c.Write([]byte(word)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(word))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
				t.Fatalf("got %q, %v; want %q", got, err, word)
			}
		}
		c.CloseWrite()
		if rest, err := io.ReadAll(c); err != nil || len(rest) != 0 {
			t.Fatalf("after the end: %q, %v", rest, err)
		}
	}
}
