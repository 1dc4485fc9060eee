package load

import (
	"fmt"
	"strings"
	"testing"
)

func TestMessageInAnyPieces(t *testing.T) {
	t.Parallel()
	text := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" +
		"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n" +
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for size := 1; size <= len(text); size++ {
		var m message
		var got []string
		for rest := text; len(rest) > 0; {
			piece := []byte(rest[:min(size, len(rest))])
			rest = rest[len(piece):]
			for len(piece) > 0 {
				n, done, err := m.feed(piece)
				if err != nil {
					t.Fatal(size, err)
				}
				piece = piece[n:]
				if done {
					got = append(got, fmt.Sprint(m.body, m.closing))
				}
			}
		}
		if want, have := "0 false", strings.Join(got, ", "); have != "5 false, 0 true, 13 false, "+want {
			t.Fatalf("in pieces of %d: %s", size, have)
		}
	}
}

func TestMessageRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
		strings.Repeat("x", longestHead+1),
	} {
		var m message
		if _, _, err := m.feed([]byte(text)); err == nil {
			t.Errorf("accepted %.60q", text)
		}
	}
}
