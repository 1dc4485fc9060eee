package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/naru-mesh/naru/observe"
	"github.com/naru-mesh/naru/wire"
)

var (
	errTimeout   = errors.New("the TLS handshake took too long")
	errAbandoned = errors.New("the TLS handshake was given up")
	errGone      = fmt.Errorf("the peer closed the connection during the TLS handshake: %w", io.ErrUnexpectedEOF)
)

// shakeBytes is how much unread input a handshake may have before the raw Conn
// is paused. Nothing in a handshake needs more at once.
const shakeBytes = 64 << 10

// shake is a handshake in progress. The first group of fields belongs to the
// loop, the second to the goroutine, the third is shared under mu.
type shake struct {
	conn    *conn
	timer   wire.Timer
	started bool // the goroutine runs
	stopped bool // the raw Conn is paused because of shakeBytes
	pending []byte
	// opened and failed are told once, on the loop: that plaintext may flow, or
	// why it will not.
	opened func()
	failed func(why observe.Reason, err error)

	gate   gate
	inside bool    // within the gate
	out    []byte  // the flight being written
	chosen *choice // the server's, by SNI
	// program is the server's, as at the hello; found is the verdict of
	// Identities about the peer.
	program  *program
	security *Security
	found    verdict
	// prepare makes the client's tls.Conn, and shown its state; nil: a server's.
	prepare func() error
	shown   func(*tls.ConnectionState, *verdict) wire.TLSState

	mu    sync.Mutex
	in    []byte        // ciphertext not read yet
	end   error         // why no more will come
	full  bool          // the raw Conn waits for in to be emptied
	wake  chan struct{} // of one place: in or end has changed
	gone  chan struct{} // closed with errAbandoned
	ended bool          // gone is closed
}

func newShake(c *conn, g gate) *shake {
	s := &shake{conn: c, gate: g, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	s.timer.Handler = c
	return s
}

// start runs the handshake on a goroutine, which ends by posting its result.
func (s *shake) start() {
	s.started = true
	go s.run()
}

func (s *shake) run() {
	c := s.conn
	err := errAbandoned
	if s.inside = s.gate.enter(s.gone); s.inside {
		err = s.handshake()
		if s.inside {
			s.gate.leave()
		}
	}
	c.loop.Post(func() { c.shaken(err) })
}

// handshake also takes the facts: tls.Conn.ConnectionState wants the handshake
// mutex, which the loop must never wait for.
func (s *shake) handshake() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal defect in the TLS handshake: %v\n%s", r, debug.Stack())
		}
	}()
	c := s.conn
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return err
		}
	}
	if err := c.tls.Handshake(); err != nil {
		return err
	}
	st := c.tls.ConnectionState()
	switch p := s.program; {
	case s.shown != nil:
		c.state = s.shown(&st, &s.found)
	case p.cfg.ClientAuth != nil && p.cfg.ClientAuth.Identities != nil:
		c.state = p.agreed(&st, &s.found)
	default:
		c.state = p.agreed(&st, nil)
	}
	if s.shown == nil {
		s.security.count(&c.state)
	}
	if s.chosen != nil {
		c.state.Credential = s.chosen.label
	}
	return nil
}

// read waits for input and gives at most the rest of the current record. What
// was written goes out before waiting, and the place in the gate is free
// meanwhile: a peer that stalls must not keep others from shaking hands.
func (s *shake) read(b []byte, left *int) (int, error) {
	for {
		n, err, resume := s.take(b, left)
		if resume {
			s.conn.loop.Post(func() { s.conn.shakeDrained() })
		}
		if n > 0 || err != nil {
			return n, err
		}
		s.flush()
		s.gate.leave()
		select {
		case <-s.wake:
		case <-s.gone:
		}
		if s.inside = s.gate.enter(s.gone); !s.inside {
			return 0, errAbandoned
		}
	}
}

// take gives input that is there; nothing and no error means wait.
func (s *shake) take(b []byte, left *int) (n int, err error, resume bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *left == 0 && len(s.in) > 0 {
		if *left = recordLen(s.in); *left == 0 && s.end != nil {
			*left = len(s.in) // a fragment of a header: let crypto/tls complain
		}
	}
	n = copy(b[:min(len(b), *left)], s.in)
	s.in = s.in[n:]
	*left -= n
	if n == 0 {
		return 0, s.end, false
	}
	if resume = s.full && len(s.in) < shakeBytes/2; resume {
		s.full = false
	}
	return n, nil, resume
}

// flush posts the flight to the loop, which owns the bytes then.
func (s *shake) flush() {
	if len(s.out) == 0 {
		return
	}
	out, c := s.out, s.conn
	s.out = nil
	c.loop.Post(func() {
		if c.phase == shaking {
			c.raw.Write(out, nil)
		}
	})
}

// feed hands ciphertext to the goroutine and says that it has enough for now.
// On the loop.
func (s *shake) feed(b []byte) (full bool) {
	s.mu.Lock()
	s.in = append(s.in, b...)
	full = len(s.in) >= shakeBytes
	s.full = s.full || full
	s.mu.Unlock()
	s.nudge()
	return full
}

// finish says that nothing more will come. On the loop.
func (s *shake) finish(err error) {
	s.mu.Lock()
	if s.end == nil {
		s.end = err
	}
	s.mu.Unlock()
	s.nudge()
}

// abandon ends the goroutine at its next read. On the loop.
func (s *shake) abandon() {
	if !s.ended {
		s.ended = true
		close(s.gone)
	}
}

func (s *shake) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// explain makes the error of a failed handshake say what happened.
func explain(err error) error {
	var head tls.RecordHeaderError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errGone
	case errors.As(err, &head) && looksHTTP(head.RecordHeader[:]):
		return errPlainHTTP
	}
	return err
}
