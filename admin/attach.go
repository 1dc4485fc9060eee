package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/naru-mesh/naru/identity"
)

// Attachment is the other end: of who starts a workload.
type Attachment struct {
	About About

	conn    net.Conn
	lines   *lines
	ready   chan error
	drained chan error
	gone    chan struct{}
}

// ErrNoNode says that nobody serves workloads at a socket.
var ErrNoNode = errors.New("no naru serves workloads here")

// errUnanswered is of a conversation that has ended before it began: the proxy
// ends, or has failed because of a defect, of which its log tells.
var errUnanswered = errors.New("the proxy there has ended the conversation before it answered (it was about to end, or its log says why)")

// dialNode connects to the node's proxy at a socket. ErrNoNode: nobody is there;
// identity.ErrForeign: somebody who may not be.
func dialNode(ctx context.Context, socket string) (*net.UnixConn, error) {
	conn, err := identity.KeptBy(socket, func() (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
	if err != nil && !errors.Is(err, identity.ErrForeign) {
		err = fmt.Errorf("%w: %w", ErrNoNode, err)
	}
	return conn, err
}

// unanswered says in place of a bare EOF what it means, for whoever waits for
// the first answer: another proxy may be there in a moment.
func unanswered(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", ErrNoNode, errUnanswered)
	}
	return err
}

// Attach asks the node's proxy at a socket to serve a workload, and waits for
// its answer. ctx bounds the wait, not the workload. ErrNoNode: nobody has
// answered, and it may be tried again; identity.ErrForeign: nobody was asked,
// because whoever is there may not be.
func Attach(ctx context.Context, socket string, wish Wish) (*Attachment, error) {
	conn, err := dialNode(ctx, socket)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	a := &Attachment{conn: conn, lines: &lines{conn: conn}, ready: make(chan error, 1), drained: make(chan error, 1), gone: make(chan struct{})}
	in := bufio.NewReader(conn)
	m, err := message{}, a.lines.say(message{Attach: &wish})
	if err == nil {
		m, err = readMessage(in)
	}
	if err == nil && m.About == nil {
		err = errors.New(m.Error)
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unanswered(err)
	}
	stop()
	a.About = *m.About
	go a.listen(in)
	return a, nil
}

// Renew has the node's proxy at a socket replace the certificates and keys of
// all workloads there, and gives how many it has replaced. ErrNoNode: nobody is
// there.
func Renew(ctx context.Context, socket string) (int, error) {
	conn, err := dialNode(ctx, socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m, err := message{}, (&lines{conn: conn}).say(message{Renew: true})
	if err == nil {
		m, err = readMessage(bufio.NewReader(conn))
	}
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		return 0, unanswered(err)
	case m.Renewed == nil:
		return 0, errors.New(m.Error)
	}
	return *m.Renewed, nil
}

// listen ends with the connection.
func (a *Attachment) listen(in *bufio.Reader) {
	defer close(a.gone)
	ready := false
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		to, what := a.drained, error(nil)
		if !ready {
			to = a.ready
		}
		if m.Error != "" {
			what = errors.New(m.Error)
		}
		ready = ready || m.Ready || m.Error != ""
		select {
		case to <- what:
		default:
		}
	}
}

// ErrGone says that the node's proxy has ended, and the conversation with it.
var ErrGone = errors.New("the node's proxy is gone")

func (a *Attachment) wait(ctx context.Context, answer <-chan error) error {
	select {
	case err := <-answer:
		return err
	case <-a.gone:
		return ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready waits until the workload may start. ErrGone: its proxy has ended before.
func (a *Attachment) Ready(ctx context.Context) error { return a.wait(ctx, a.ready) }

// Started says that it has.
func (a *Attachment) Started() error { return a.lines.say(message{Started: true}) }

// Drain has nothing new come, and waits until those who call it know.
func (a *Attachment) Drain(ctx context.Context) error {
	if err := a.lines.say(message{Drain: true}); err != nil {
		return err
	}
	return a.wait(ctx, a.drained)
}

// Gone is closed when the node's proxy has ended the conversation.
func (a *Attachment) Gone() <-chan struct{} { return a.gone }

// Leave ends the workload.
func (a *Attachment) Leave() {
	a.conn.Close()
	<-a.gone
}
