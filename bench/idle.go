package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/bench/load"
	"github.com/naru-mesh/naru/bench/peer"
)

// idleStreams compares the resident memory with and without many connections
// of HTTP/2 in plain text, each of which has had eight answers at once: what a
// connection keeps for streams that were there counts too.
func (f *field) idleStreams(ctx context.Context) (*figure, error) {
	out := newFigure("idle-h2", "memory of an idle HTTP/2 connection", "KiB")
	conns := min(4000/f.opt.scale, f.conns-300)
	out.Notes = []string{fmt.Sprintf("%d connections that have each had 8 answers at once; growth of resident memory, that of files and the kernel's not included", conns)}
	return out, f.each(ctx, out.Key, func(p *peer.Peer) error {
		if !p.Job.Streams.IsValid() {
			return nil
		}
		warm, err := f.holdStreams(p, min(64, conns))
		if err != nil {
			return err
		}
		drop(warm)
		f.settle(ctx, idleSettle/time.Duration(f.opt.scale))
		was := cost.Own(p.Pids)
		held, err := f.holdStreams(p, conns)
		if err != nil {
			return err
		}
		f.settle(ctx, idleSettle/time.Duration(f.opt.scale))
		out.add(p.Name, float64(cost.Own(p.Pids)-was)/1024/float64(conns))
		drop(held)
		return nil
	})
}

func drop(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// holdStreams opens connections, one after the other, and gives them when each
// has had its answers.
func (f *field) holdStreams(p *peer.Peer, n int) (conns []net.Conn, err error) {
	defer func() {
		if err != nil {
			drop(conns)
		}
	}()
	for range n {
		c, err := net.DialTimeout("tcp", p.Job.Streams.String(), 10*time.Second)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if err := askStreams(c, f.path(0, "small"), load.Bodies()["small"]); err != nil {
			return conns, fmt.Errorf("%s, connection %d: %w", p.Name, len(conns), err)
		}
	}
	return conns, nil
}

// askStreams makes eight requests at once and reads the answers to their ends.
func askStreams(c net.Conn, path string, want int) error {
	const streams = 8
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := fr.WriteSettings(); err != nil {
		return err
	}
	for i := range uint32(streams) {
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for _, kv := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", path}, {":authority", host}} {
			if err := enc.WriteField(hpack.HeaderField{Name: kv[0], Value: kv[1], Sensitive: true}); err != nil {
				return err
			}
		}
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			return err
		}
	}
	got := 0
	for ended := 0; ended < streams; {
		frame, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				if err := fr.WriteSettingsAck(); err != nil {
					return err
				}
			}
		case *http2.MetaHeadersFrame:
			if frame.PseudoValue("status") != "200" {
				return errors.New("status " + frame.PseudoValue("status"))
			}
		case *http2.DataFrame:
			if got += len(frame.Data()); frame.StreamEnded() {
				ended++
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return errors.New(frame.Header().String())
		}
	}
	if got != streams*want {
		return fmt.Errorf("%d bytes of bodies, want %d", got, streams*want)
	}
	return c.SetDeadline(time.Time{})
}
