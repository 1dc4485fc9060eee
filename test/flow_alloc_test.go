package test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/naru-mesh/naru/wire"
	"github.com/naru-mesh/naru/wire/loop"
)

// mirror sends back what it gets.
type mirror struct{ conn wire.Conn }

func (m *mirror) OnData(b []byte) {
	m.conn.Write(b, nil)
	if m.conn.Buffered() > wire.HighWater {
		m.conn.Pause()
	}
}
func (m *mirror) OnOpen()       {}
func (m *mirror) OnEOF()        { m.conn.Close() }
func (m *mirror) OnDrained()    { m.conn.Resume() }
func (m *mirror) OnClose(error) {}

// packetMirror does so with datagrams.
type packetMirror struct{ conn wire.DatagramConn }

func (m packetMirror) OnDatagrams(list []wire.Datagram) { m.conn.Send(list) }
func (m packetMirror) OnDatagramError(error)            {}

// TestFlowAllocations counts what passing a message on and back costs on the
// heap: small and large ones over TCP, and datagrams. It does not run in
// parallel, so that nothing else is counted.
func TestFlowAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct {
		network string
		size    int
		rounds  int
	}{{"tcp", 100, 5000}, {"tcp", 20 << 10, 2000}, {"tcp", 1 << 20, 200}, {"udp", 100, 3000}} {
		t.Run(fmt.Sprint(c.network, " ", c.size), func(t *testing.T) {
			d, err := loop.New(loop.Options{Loops: 1, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			var up netip.AddrPort
			if c.network == "udp" {
				l, err := d.ListenDatagrams(netip.MustParseAddrPort("127.0.0.1:0"), func(c wire.DatagramConn) wire.DatagramHandler { return packetMirror{c} })
				if err != nil {
					t.Fatal(err)
				}
				up = l.Addr()
			} else {
				l, err := d.Listen(netip.MustParseAddrPort("127.0.0.1:0"), wire.ListenOptions{}, func(c wire.Conn, _ bool) { c.SetHandler(&mirror{c}) })
				if err != nil {
					t.Fatal(err)
				}
				up = l.Addr()
			}
			g := inProcess(t, false, fmt.Sprintf("- match: %s://$LISTEN\n  to: '%v'\n", c.network, up))
			conn, err := net.Dial(c.network, g.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
				t.Fatal(err)
			}
			out, in := bytes.Repeat([]byte("x"), c.size), make([]byte, c.size)
			sent, received := make(chan struct{}), make(chan error)
			go func() {
				for range sent {
					_, err := io.ReadFull(conn, in)
					received <- err
				}
			}()
			t.Cleanup(func() { close(sent) })
			run := func(n int) {
				for range n {
					sent <- struct{}{}
					if _, err := conn.Write(out); err != nil {
						t.Fatal(err)
					}
					if err := <-received; err != nil {
						t.Fatal(err)
					}
				}
			}
			run(c.rounds)
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			// What the process does besides, in the same time, are some dozens.
			limit := max(0.02*float64(c.rounds), 40)
			best := 1e9
			for try := 0; try < 5 && best > limit; try++ {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				run(c.rounds)
				runtime.ReadMemStats(&after)
				best = min(best, float64(after.Mallocs-before.Mallocs))
			}
			if best > limit {
				t.Errorf("%v objects for %d messages", best, c.rounds)
			}
		})
	}
}
