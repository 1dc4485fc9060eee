package http1

import "github.com/naru-mesh/naru/wire"

// Codec is wire.ServerCodec and wire.ClientCodec for HTTP/1. One serves all
// loops: what it keeps is kept for each loop apart.
type Codec struct {
	locals []*local // by Loop.Index; each touched by its loop only
	http2  wire.Taker
}

// HandOver sets who takes connections that begin with HTTP/2's preface, where
// the Limits allow it; nil (the default): nobody, they are refused as requests
// of a version that is not spoken. To be called before the first Serve.
func (c *Codec) HandOver(to wire.Taker) {
	c.http2 = to
	for _, l := range c.locals {
		l.http2 = to
	}
}

var (
	_ wire.ServerCodec = (*Codec)(nil)
	_ wire.ClientCodec = (*Codec)(nil)
)

// New makes a codec for a driver with that many loops.
func New(loops int) *Codec {
	c := &Codec{locals: make([]*local, loops)}
	for i := range c.locals {
		c.locals[i] = newLocal()
	}
	return c
}

func (c *Codec) local(l wire.Loop) *local {
	loc := c.locals[l.Index()]
	if loc.loop == nil {
		loc.loop = l
	}
	return loc
}

// local is what the machines of one loop share. Scratch memory is used only
// between two calls out: no machine calls another.
type local struct {
	loop  wire.Loop
	http2 wire.Taker
	out   []byte // heads and small bodies on their way to a Conn
	join  []byte // small chunks on their way to a sink

	machines []*server // to be used again
	pool     []*kept

	tasks, running []task
	run            func() // runs tasks; made once

	date wire.DateLine
}

func newLocal() *local {
	l := &local{out: make([]byte, 0, 4<<10)}
	l.run = l.runTasks
	return l
}

// task is a machine that has something to do at the loop's top.
type task interface{ later() }

// later has t called from the loop's top.
func (l *local) later(t task) {
	if len(l.tasks) == 0 {
		l.loop.Post(l.run)
	}
	l.tasks = append(l.tasks, t)
}

func (l *local) runTasks() {
	run := l.tasks
	l.tasks, l.running = l.running[:0], run
	for _, t := range run {
		t.later()
	}
	clear(run)
}

// Of the loop's free lists.
const (
	maxMachines = 4096
	maxPool     = 64
	maxPooled   = 64 << 10 // bytes of a buffer that is kept for later
)

func (l *local) newServer() *server {
	if n := len(l.machines); n > 0 {
		m := l.machines[n-1]
		l.machines[n-1] = nil
		l.machines = l.machines[:n-1]
		return m
	}
	return &server{}
}

func (l *local) freeServer(m *server) {
	*m = server{}
	if len(l.machines) < maxMachines {
		l.machines = append(l.machines, m)
	}
}

// kept holds what a machine was given and could not use yet: an incomplete
// head or trailer section, or what follows the message in hand.
type kept struct {
	b   []byte
	off int     // used bytes at b's start
	s   scanner // of the head or trailer section at b[off:]
	t   wire.Head
}

func (l *local) newKept() *kept {
	if n := len(l.pool); n > 0 {
		k := l.pool[n-1]
		l.pool = l.pool[:n-1]
		return k
	}
	return &kept{b: make([]byte, 0, 2<<10)}
}

func (l *local) freeKept(k *kept) {
	if k == nil || len(l.pool) == maxPool || cap(k.b) > maxPooled {
		return
	}
	k.b, k.off, k.s = k.b[:0], 0, scanner{}
	k.t.Reset()
	l.pool = append(l.pool, k)
}

// add appends b and gives all bytes that are not used yet.
func (k *kept) add(b []byte) []byte {
	if k.off > 0 && len(b) > 0 {
		k.b = k.b[:copy(k.b, k.b[k.off:])]
		k.off = 0
	}
	k.b = append(k.b, b...)
	return k.b[k.off:]
}

// hold keeps rest, the end of what k holds or, without k, lent bytes.
func (l *local) hold(k *kept, rest []byte) *kept {
	switch {
	case len(rest) == 0:
		l.freeKept(k)
		return nil
	case k == nil:
		k = l.newKept()
		k.b = append(k.b[:0], rest...)
	default:
		k.off = len(k.b) - len(rest)
	}
	return k
}
