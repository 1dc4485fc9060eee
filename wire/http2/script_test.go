package http2

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// Frames are written in tests as words: a type, a stream, then flags (end_stream,
// end_headers, ack), pad=N, prio=DEPENDENCY and, by type, fields NAME=VALUE,
// settings ID=VALUE, numbers or data. Words with blanks are quoted as in Go.
// What is not a frame is hexadecimal after RAW; any frame can be written as
// FRAME TYPE FLAGS STREAM HEX. A line after "*N" stands N times, and in it "#"
// is 1, 3, 5 and so on where it stands for a stream.

var frameNames = map[frameType]string{
	frameData: "DATA", frameHeaders: "HEADERS", framePriority: "PRIORITY", frameReset: "RST_STREAM",
	frameSettings: "SETTINGS", framePushPromise: "PUSH_PROMISE", framePing: "PING", frameGoAway: "GOAWAY",
	frameWindow: "WINDOW_UPDATE", frameContinuation: "CONTINUATION", framePriorityUpdate: "PRIORITY_UPDATE",
}

// scribe turns words into frames and back, with an HPACK that is not ours.
type scribe struct {
	block bytes.Buffer
	enc   *hpack.Encoder
	dec   *hpack.Decoder
	part  []byte // of a block that is being read
}

func newScribe() *scribe {
	s := &scribe{dec: hpack.NewDecoder(4096, nil)}
	s.enc = hpack.NewEncoder(&s.block)
	return s
}

func words(t testing.TB, line string) (all []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] == '"' {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			w, _ := strconv.Unquote(q)
			all = append(all, w)
			line = line[len(q):]
			continue
		}
		w, rest, _ := strings.Cut(line, " ")
		all = append(all, w)
		line = rest
	}
	return all
}

func number(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func hexBytes(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames gives the bytes of a line.
func (s *scribe) frames(t testing.TB, line string) (out []byte) {
	t.Helper()
	if line[0] == '*' {
		count, rest, _ := strings.Cut(line[1:], " ")
		for i := range number(t, count) {
			out = append(out, s.frames(t, strings.ReplaceAll(rest, "#", strconv.Itoa(int(2*i+1))))...)
		}
		return out
	}
	w := words(t, line)
	switch w[0] {
	case "PREFACE":
		return appendFrame([]byte(Preface), 0, frameSettings, 0, 0)
	case "RAW":
		return hexBytes(t, w[1])
	case "TEXT":
		return []byte(w[1])
	case "FRAME":
		p := hexBytes(t, strings.Join(w[4:], ""))
		out = appendFrame(nil, len(p), frameType(number(t, w[1])), uint8(number(t, w[2])), number(t, w[3]))
		return append(out, p...)
	}
	kind := frameType(0xff)
	for k, name := range frameNames {
		if name == w[0] {
			kind = k
		}
	}
	if kind == 0xff {
		t.Fatalf("%q is no frame", line)
	}
	args := w[1:]
	id := uint32(0)
	if kind != frameSettings && kind != framePing && kind != frameGoAway && kind != framePriorityUpdate {
		id = number(t, args[0])
		args = args[1:]
	}
	flags, pad, prio := uint8(0), -1, -1
	var p []byte
	s.block.Reset()
	for _, a := range args {
		key, value, has := strings.Cut(a, "=")
		switch {
		case a == "end_stream" || a == "ack":
			flags |= 1
			continue
		case a == "end_headers":
			flags |= flagEndHeaders
			continue
		case key == "pad":
			pad = int(number(t, value))
			continue
		case key == "prio":
			prio = int(number(t, value))
			continue
		}
		switch kind {
		case frameHeaders, frameContinuation:
			if strings.HasPrefix(a, ":") {
				key, value, has = strings.Cut(a[1:], "=")
				key = ":" + key
			}
			if !has {
				t.Fatalf("%q: field %q", line, a)
			}
			s.enc.WriteField(hpack.HeaderField{Name: key, Value: value})
		case frameSettings:
			p = binary.BigEndian.AppendUint16(p, uint16(number(t, key)))
			p = binary.BigEndian.AppendUint32(p, number(t, value))
		case frameData, framePing:
			if key == "size" {
				a = strings.Repeat("x", int(number(t, value)))
			}
			p = append(p, a...)
		case framePriorityUpdate:
			if p == nil {
				p = binary.BigEndian.AppendUint32(p, number(t, a))
			} else {
				p = append(p, a...)
			}
		default:
			p = binary.BigEndian.AppendUint32(p, number(t, a))
		}
	}
	if kind == frameHeaders || kind == frameContinuation {
		p = append([]byte(nil), s.block.Bytes()...)
	}
	if kind == framePriority && len(p) == 4 {
		p = append(p, 15)
	}
	if prio >= 0 {
		flags |= flagPriority
		p = append(append(binary.BigEndian.AppendUint32(nil, uint32(prio)), 15), p...)
	}
	if pad >= 0 {
		flags |= flagPadded
		p = append(append([]byte{byte(pad)}, p...), make([]byte, pad)...)
	}
	out = appendFrame(nil, len(p), kind, flags, id)
	return append(out, p...)
}

// read gives the frames of b as lines. ours is left out.
func (s *scribe) read(b, ours []byte) string {
	var out strings.Builder
	b = bytes.TrimPrefix(b, []byte(Preface))
	b = bytes.TrimPrefix(b, ours)
	for len(b) >= frameHead {
		f := readFrame(b)
		if len(b) < frameHead+f.length {
			break
		}
		s.line(&out, &f, b[frameHead:frameHead+f.length])
		b = b[frameHead+f.length:]
	}
	if len(b) > 0 {
		fmt.Fprintf(&out, "RAW %x\n", b)
	}
	return out.String()
}

func (s *scribe) line(out *strings.Builder, f *frame, p []byte) {
	out.WriteString(frameNames[f.kind])
	if f.id != 0 || f.kind == frameWindow {
		fmt.Fprintf(out, " %d", f.id)
	}
	switch f.kind {
	case frameData, frameHeaders:
		if f.has(flagEndStream) {
			out.WriteString(" end_stream")
		}
	case frameSettings, framePing:
		if f.has(flagAck) {
			out.WriteString(" ack")
		}
	}
	switch f.kind {
	case frameData:
		if len(p) > 60 {
			fmt.Fprintf(out, " size=%d", len(p))
		} else if len(p) > 0 {
			fmt.Fprintf(out, " %q", p)
		}
	case framePing:
		fmt.Fprintf(out, " %s", p)
	case frameHeaders, frameContinuation:
		s.part = append(s.part, p...)
		if !f.has(flagEndHeaders) {
			out.WriteString(" ...")
			break
		}
		fields, err := s.dec.DecodeFull(s.part)
		s.part = s.part[:0]
		if err != nil {
			fmt.Fprintf(out, " %v", err)
		}
		for _, hf := range fields {
			switch {
			case hf.Name == "date":
			case len(hf.Value) > 100:
				fmt.Fprintf(out, " %s=(%d)", hf.Name, len(hf.Value))
			case strings.Contains(hf.Value, " "):
				fmt.Fprintf(out, " %q", hf.Name+"="+hf.Value)
			default:
				fmt.Fprintf(out, " %s=%s", hf.Name, hf.Value)
			}
		}
	case frameReset:
		fmt.Fprintf(out, " %s", code(binary.BigEndian.Uint32(p)))
	case frameGoAway:
		fmt.Fprintf(out, " %d %s", binary.BigEndian.Uint32(p), code(binary.BigEndian.Uint32(p[4:])))
	case frameWindow:
		fmt.Fprintf(out, " %d", binary.BigEndian.Uint32(p))
	case frameSettings:
		for ; len(p) >= 6; p = p[6:] {
			fmt.Fprintf(out, " %d=%d", binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:]))
		}
	}
	out.WriteByte('\n')
}
