package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Every n-th request of the load is something special.
const (
	everyPost     = 10 // 10% POSTs
	everyCritical = 20 // 5% critical ones
)

// crowd are the clients of one proxy: an open loop over kept connections. It
// makes no second try of any kind.
type crowd struct {
	addr     netip.AddrPort
	patience time.Duration // a client leaves then
	critical bool          // some requests are critical, none a POST
	id       string        // of POSTs

	start time.Time
	wait  sync.WaitGroup
	mu    sync.Mutex
	free  []*keptConn
	all   []sample
	next  int
}

// keptConn is a connection and what has been read of it.
type keptConn struct {
	net.Conn
	r *bufio.Reader
}

// run sends rate requests a second until the time since start, or the end of
// ctx. It returns when all of them have been sent, not answered.
func (c *crowd) run(ctx context.Context, rate float64, until time.Duration) {
	began := time.Since(c.start)
	for i := 0; ; i++ {
		due := began + time.Duration(float64(i)/rate*float64(time.Second))
		if due >= until {
			return
		}
		if wait := due - time.Since(c.start); wait > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		} else if ctx.Err() != nil {
			return
		}
		n := c.next
		c.next++
		c.wait.Go(func() { c.one(n, due) })
	}
}

// quantile is the 99th percentile of what has ended so far.
func (c *crowd) quantile(from, to time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return percentile(c.all, from, to, quantile)
}

// done waits for all answers, gives the samples and closes all connections.
func (c *crowd) done() []sample {
	c.wait.Wait()
	for _, conn := range c.free {
		conn.Close()
	}
	c.free = nil
	return c.all
}

// one is a request of its number.
func (c *crowd) one(n int, due time.Duration) {
	s := sample{due: due, by: -1}
	request := "GET /work"
	switch {
	case c.critical && n%everyCritical == 0:
		s.critical, request = true, "GET /critical"
	case !c.critical && n%everyPost == 0:
		s.post, request = true, fmt.Sprintf("POST /jobs/%s-%d", c.id, n)
	}
	var err error
	if s.by, err = c.ask(request, due); err != nil {
		s.failed = reason(err)
	}
	s.took = time.Since(c.start) - due
	c.mu.Lock()
	c.all = append(c.all, s)
	c.mu.Unlock()
}

// wrong is an answer that is not what was asked for.
type wrong string

func (w wrong) Error() string { return string(w) }

// ask sends a request and reads its answer, whole.
func (c *crowd) ask(request string, due time.Duration) (by int, err error) {
	conn, err := c.conn()
	if err != nil {
		return -1, err
	}
	keep := false
	defer func() {
		if !keep {
			conn.Close()
			return
		}
		c.mu.Lock()
		c.free = append(c.free, conn)
		c.mu.Unlock()
	}()
	_ = conn.SetDeadline(c.start.Add(due + c.patience))
	body := "\r\n"
	if strings.HasPrefix(request, "POST") {
		body = "Content-Length: 5\r\n\r\norder"
	}
	if _, err := io.WriteString(conn, request+" HTTP/1.1\r\nHost: bench.example.com\r\n"+body); err != nil {
		return -1, err
	}
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		return -1, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	keep = err == nil && !res.Close
	by = numberOf(res.Header.Get(instanceField))
	switch {
	case res.StatusCode != http.StatusOK:
		return by, wrong(fmt.Sprintf("status %d", res.StatusCode))
	case err != nil:
		return by, fmt.Errorf("in the body: %w", err)
	case len(got) != bodySize:
		return by, wrong("another body")
	}
	return by, nil
}

// conn gives a kept connection that is still open, or a new one.
func (c *crowd) conn() (*keptConn, error) {
	for {
		c.mu.Lock()
		n := len(c.free)
		if n == 0 {
			c.mu.Unlock()
			break
		}
		conn := c.free[n-1]
		c.free = c.free[:n-1]
		c.mu.Unlock()
		if conn.open() {
			return conn, nil
		}
		conn.Close()
	}
	conn, err := net.DialTimeout("tcp", c.addr.String(), c.patience)
	if err != nil {
		return nil, err
	}
	return &keptConn{conn, bufio.NewReader(conn)}, nil
}

// open says whether the other side has neither closed nor sent anything: it
// looks without taking and without waiting, as clients do that keep
// connections.
func (k *keptConn) open() bool {
	raw, err := k.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	idle := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		idle = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && idle
}

// reason names a failure without addresses, so that equal ones count together.
func reason(err error) string {
	var bad wrong
	var late net.Error
	in := ""
	if strings.HasPrefix(err.Error(), "in the body") {
		in = " in the body"
	}
	switch {
	case errors.As(err, &bad):
		return string(bad)
	case errors.As(err, &late) && late.Timeout():
		return "no end in time"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset" + in
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed" + in
	case errors.Is(err, syscall.ECONNREFUSED):
		return "proxy refuses"
	}
	return "other"
}
