package http3

import (
	"fmt"
	"strings"

	"github.com/quic-go/quic-go/quicvarint"
)

// section encodes fields, given as "name: value" lines.
func section(lines ...string) []byte {
	out := appendSection(nil)
	for _, l := range lines {
		i := strings.Index(l[1:], ":") + 1
		out = appendField(out, l[:i], strings.TrimPrefix(l[i+1:], " "), false)
	}
	return out
}

// framed is a frame.
func framed(kind uint64, payload string) string {
	return string(appendFrame(nil, kind, len(payload))) + payload
}

func headers(lines ...string) string { return framed(frameHeaders, string(section(lines...))) }

// get is the head of a request, with more fields.
func get(path string, more ...string) string { return request("GET", path, more...) }

func request(method, path string, more ...string) string {
	return headers(append([]string{":method: " + method, ":scheme: https", ":authority: a.example", ":path: " + path}, more...)...)
}

func data(b string) string { return framed(frameData, b) }

// read tells what frames say.
func read(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		kind, n, err := quicvarint.Parse(b)
		if err != nil {
			return out.String() + "cut"
		}
		size, k, err := quicvarint.Parse(b[n:])
		if b = b[min(n+k, len(b)):]; err != nil || size > uint64(len(b)) {
			return out.String() + "cut"
		}
		payload := b[:size]
		b = b[size:]
		switch kind {
		case frameHeaders:
			text, err := decode(payload)
			if err != nil {
				return out.String() + "bad section"
			}
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "date=") {
					out.WriteString(line)
				}
			}
		case frameData:
			fmt.Fprintf(&out, "%q\n", payload)
		default:
			fmt.Fprintf(&out, "frame %#x %x\n", kind, payload)
		}
	}
	return out.String()
}
