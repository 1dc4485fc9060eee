package test

import (
	"bytes"
	order "encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

// TestStreamAllocations is TestAllocations for HTTP/2: clients, a service on a
// loop of its own and the gateway are all in this process, and what a request
// costs on the heap is nothing.
func TestStreamAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	get := []string{":method", "GET", ":scheme", "http", ":path", "/a/b?c=d", ":authority", "shop.example", "user-agent", "test", "accept", "*/*", "cookie", "a=b", "cookie", "c=d"}
	post := []string{":method", "POST", ":scheme", "http", ":path", "/a/Call", ":authority", "shop.example", "content-type", "application/grpc", "te", "trailers"}
	for _, c := range []struct {
		name    string
		client  string // dialect
		service string
		request []string
		body    int // bytes, of the request
		answer  int // bytes, of the response
		tail    []string
		batch   int // requests at once
	}{
		{"get, h2c to h1", h2c, h1, get, 0, 100, nil, 1},
		{"get, h2c to h2c", h2c, h2c, get, 0, 100, nil, 1},
		{"get, h1 to h2c", h1, h2c, nil, 0, 100, nil, 1},
		{"many, h2c to h1", h2c, h1, get, 0, 100, nil, 50},
		{"many, h2c to h2c", h2c, h2c, get, 0, 100, nil, 50},
		{"large, h2c to h1", h2c, h1, get, 0, 60 << 10, nil, 2},
		{"large, h2c to h2c", h2c, h2c, get, 0, 60 << 10, nil, 2},
		{"grpc, h2c to h2c", h2c, h2c, post, 50, 60, []string{"grpc-status", "0", "grpc-message", ""}, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := "http://" + onLoop(t, c.body, c.answer)
			if c.service == h2c {
				to = "h2c://" + streamsOnLoop(t, c.answer, c.tail)
			}
			g := inProcess(t, false, "- match: /a\n  to: "+to+"\n")
			var run func(n int)
			if c.client == h1 {
				conn := g.connect(false)
				request, reply := []byte("GET /a HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\n\r\n"), make([]byte, 128<<10)
				run = func(n int) {
					for range n {
						exchange(t, conn, request, reply, c.answer)
					}
				}
			} else {
				caller := newCaller(t, g.connect(false), c.request, c.body, c.batch)
				run = caller.run
			}
			run(2000)
			// A collection would empty pools, and is none of a request's cost.
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			n := 5000
			if c.answer > 10_000 {
				n = 2000
			}
			best := 1e9
			for try := 0; try < 5 && best > 0.01; try++ {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				run(n)
				runtime.ReadMemStats(&after)
				best = min(best, float64(after.Mallocs-before.Mallocs)/float64(n))
			}
			t.Logf("%.4f objects a request", best)
			if best > 0.01 {
				t.Errorf("%.4f objects a request", best)
			}
		})
	}
}

// block is a header block that leaves the table as it is.
func block(fields []string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	enc.SetMaxDynamicTableSize(0)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // into memory
	}
	return b.Bytes()
}

// appendFrame writes a frame.
func appendFrame(out []byte, kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) []byte {
	n := len(payload)
	out = append(out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	out = order.BigEndian.AppendUint32(out, id)
	return append(out, payload...)
}

// message is a request or a response in frames of stream 0.
func message(head []byte, body int, tail []byte) []byte {
	end := func(is bool) http2.Flags {
		if is {
			return http2.FlagHeadersEndStream
		}
		return 0
	}
	out := appendFrame(nil, http2.FrameHeaders, http2.FlagHeadersEndHeaders|end(body == 0 && tail == nil), 0, head)
	data := bytes.Repeat([]byte{'y'}, body)
	for len(data) > 0 {
		n := min(len(data), 16<<10)
		out = appendFrame(out, http2.FrameData, end(n == len(data) && tail == nil), 0, data[:n])
		data = data[n:]
	}
	if tail != nil {
		out = appendFrame(out, http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 0, tail)
	}
	return out
}

// number gives the frames of a message a stream.
func number(frames []byte, id uint32) {
	for len(frames) > 0 {
		n := int(frames[0])<<16 | int(frames[1])<<8 | int(frames[2])
		order.BigEndian.PutUint32(frames[5:], id)
		frames = frames[9+n:]
	}
}

// opening is what both ends say first: windows that are never a reason to wait
// within a test, and no table.
func opening(preface string) []byte {
	var settings []byte
	for _, s := range []http2.Setting{{ID: http2.SettingHeaderTableSize, Val: 4096}, {ID: http2.SettingInitialWindowSize, Val: 1 << 20}} {
		settings = order.BigEndian.AppendUint16(settings, uint16(s.ID))
		settings = order.BigEndian.AppendUint32(settings, s.Val)
	}
	out := appendFrame([]byte(preface), http2.FrameSettings, 0, 0, settings)
	return appendFrame(out, http2.FrameWindowUpdate, 0, 0, order.BigEndian.AppendUint32(nil, 1<<31-1-65_535))
}

// cutter cuts frames out of what comes, and counts the streams that end.
type cutter struct {
	head [9]byte
	have int // of head
	left int // of the payload
	data int // bytes of DATA that came since somebody looked
	acks bool
}

// cut calls ended for each stream that ends in b.
func (c *cutter) cut(b []byte, ended func(id uint32)) {
	for len(b) > 0 {
		if c.left > 0 {
			n := min(c.left, len(b))
			c.left -= n
			b = b[n:]
		} else {
			n := copy(c.head[c.have:], b)
			c.have += n
			b = b[n:]
			if c.have < 9 {
				return
			}
			c.left = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
		}
		if c.left > 0 || c.have < 9 {
			continue
		}
		c.have = 0
		kind, flags := http2.FrameType(c.head[3]), http2.Flags(c.head[4])
		n := int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
		switch {
		case kind == http2.FrameSettings && flags&http2.FlagSettingsAck == 0:
			c.acks = true
		case kind == http2.FrameData:
			c.data += n
			fallthrough
		case kind == http2.FrameHeaders:
			if flags&http2.FlagDataEndStream != 0 {
				ended(order.BigEndian.Uint32(c.head[5:]))
			}
		}
	}
}

var settingsAck = appendFrame(nil, http2.FrameSettings, http2.FlagSettingsAck, 0, nil)

// caller asks the same over and over on one connection.
type caller struct {
	t       *testing.T
	conn    net.Conn
	request []byte // of one stream
	out     []byte
	in      []byte
	batch   int
	next    uint32
	cutter  cutter
	ended   int
	count   func(uint32)
}

func newCaller(t *testing.T, conn net.Conn, head []string, body, batch int) *caller {
	c := &caller{t: t, conn: conn, request: message(block(head), body, nil), in: make([]byte, 64<<10), batch: batch, next: 1}
	c.count = func(uint32) { c.ended++ }
	if _, err := conn.Write(opening(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	return c
}

// run sends n requests, and reads their answers.
func (c *caller) run(n int) {
	for ; n > 0; n -= c.batch {
		c.out = c.out[:0]
		if c.cutter.acks {
			c.cutter.acks = false
			c.out = append(c.out, settingsAck...)
		}
		if c.cutter.data > 1<<20 {
			var by [4]byte
			order.BigEndian.PutUint32(by[:], uint32(c.cutter.data))
			c.out = appendFrame(c.out, http2.FrameWindowUpdate, 0, 0, by[:])
			c.cutter.data = 0
		}
		for range c.batch {
			number(c.request, c.next)
			c.out = append(c.out, c.request...)
			c.next += 2
		}
		if _, err := c.conn.Write(c.out); err != nil {
			c.t.Fatal(err)
		}
		for c.ended < c.batch {
			n, err := c.conn.Read(c.in)
			if err != nil {
				c.t.Fatal(err)
			}
			c.cutter.cut(c.in[:n], c.count)
		}
		c.ended -= c.batch
	}
}

// streamsOnLoop is a service of HTTP/2 that answers without allocating.
func streamsOnLoop(t *testing.T, answer int, tail []string) string {
	t.Helper()
	d, err := loop.New(loop.Options{Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	head := []string{":status", "200", "server", "test"}
	var last []byte
	if tail != nil {
		last = block(tail)
	} else {
		head = append(head, "content-length", fmt.Sprint(answer))
	}
	text := message(block(head), answer, last)
	ln, err := d.Listen(netip.MustParseAddrPort("127.0.0.1:0"), wire.ListenOptions{}, func(c wire.Conn, _ bool) {
		r := &streamReplier{conn: c, text: bytes.Clone(text), preface: len(http2.ClientPreface)}
		r.reply = func(id uint32) {
			number(r.text, id)
			r.out = append(r.out, r.text...)
		}
		c.SetHandler(r)
		c.Write(opening(""), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}

// streamReplier answers each request with the same frames.
type streamReplier struct {
	conn    wire.Conn
	text    []byte
	out     []byte
	preface int // bytes of it that have not come
	cutter  cutter
	reply   func(uint32)
}

func (r *streamReplier) OnData(b []byte) {
	n := min(r.preface, len(b))
	r.preface -= n
	r.out = r.out[:0]
	r.cutter.cut(b[n:], r.reply)
	if r.cutter.acks {
		r.cutter.acks = false
		r.out = append(r.out, settingsAck...)
	}
	r.conn.Write(r.out, nil)
}

func (r *streamReplier) OnOpen()       {}
func (r *streamReplier) OnEOF()        { r.conn.Close() }
func (r *streamReplier) OnDrained()    {}
func (r *streamReplier) OnClose(error) {}
