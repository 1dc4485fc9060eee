package http2

import "github.com/naru-mesh/naru/wire"

// Codec is wire.ServerCodec and wire.ClientCodec for HTTP/2. One serves all
// loops: what it keeps is kept for each loop apart.
type Codec struct {
	locals []*local // by Loop.Index; each touched by its loop only
}

var (
	_ wire.ServerCodec = (*Codec)(nil)
	_ wire.ClientCodec = (*Codec)(nil)
	_ wire.Taker       = (*Codec)(nil)
	_ wire.Drainer     = (*Codec)(nil)
	_ wire.Cutter      = (*Codec)(nil)
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
		loc.sorter, _ = l.(wire.Sorter)
	}
	return loc
}

// local is what the machines of one loop share: scratch memory, used only
// between two calls out, and free lists.
type local struct {
	loop   wire.Loop
	join   []byte // data on their way to a sink; blocks that are cut into frames
	name   []byte // a field name in lower case, and the like
	plain  []byte // Huffman code is decoded to
	fields fieldReader
	gather gather
	fresh  []newcomer

	serving  *session // of clients, by older
	sessions []*session
	streams  *stream // by next
	buffers  [][]byte
	heads    []*wire.Head
	chunks   wire.ChunkPool
	kept     int // of streams

	tasks, running []*session
	run            func() // runs tasks; made once

	date   wire.DateLine
	sorter wire.Sorter // loop, where it is one
}

func newLocal() *local {
	l := &local{name: make([]byte, 0, 64)}
	l.run = l.runTasks
	return l
}

// later has m.later called from the loop's top.
func (l *local) later(m *session) {
	if len(l.tasks) == 0 {
		l.loop.Post(l.run)
	}
	l.tasks = append(l.tasks, m)
}

func (l *local) runTasks() {
	run := l.tasks
	l.tasks, l.running = l.running[:0], run
	for _, m := range run {
		m.later()
	}
	clear(run)
}

// Of the loop's free lists.
const (
	maxSessions = 1024
	maxStreams  = 4096
	maxFree     = 64
	maxPooled   = 128 << 10 // bytes of a buffer that is kept for later
)

// borrow gives an empty buffer; giveBack takes it again.
func (l *local) borrow() []byte {
	if n := len(l.buffers); n > 0 {
		b := l.buffers[n-1]
		l.buffers = l.buffers[:n-1]
		return b
	}
	return make([]byte, 0, 4<<10)
}

func (l *local) giveBack(b []byte) {
	if b != nil && len(l.buffers) < maxFree && cap(b) <= maxPooled {
		l.buffers = append(l.buffers, b[:0])
	}
}

func (l *local) newSession() *session {
	if n := len(l.sessions); n > 0 {
		m := l.sessions[n-1]
		l.sessions[n-1] = nil
		l.sessions = l.sessions[:n-1]
		return m
	}
	return &session{}
}

// endServing takes m out of those that serve clients.
func (l *local) endServing(m *session) {
	if m.newer == nil {
		l.serving = m.older
	} else {
		m.newer.older = m.older
	}
	if m.older != nil {
		m.older.newer = m.newer
	}
}

func (l *local) freeSession(m *session) {
	*m = session{}
	if len(l.sessions) < maxSessions {
		l.sessions = append(l.sessions, m)
	}
}

func (l *local) newStream() *stream {
	s := l.streams
	if s == nil {
		return &stream{}
	}
	l.streams, s.next = s.next, nil
	l.kept--
	return s
}

func (l *local) freeStream(s *stream) {
	*s = stream{}
	if l.kept < maxStreams {
		s.next, l.streams = l.streams, s
		l.kept++
	}
}

func (l *local) newHead() *wire.Head {
	if n := len(l.heads); n > 0 {
		h := l.heads[n-1]
		l.heads = l.heads[:n-1]
		return h
	}
	return &wire.Head{}
}

func (l *local) freeHead(h *wire.Head) {
	if h != nil && len(l.heads) < maxFree {
		h.Reset()
		l.heads = append(l.heads, h)
	}
}
