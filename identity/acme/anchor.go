package acme

import "net"

// anchor is a port of the loopback on which nothing is served. certmagic
// listens on the ports of the challenges by itself unless somebody does
// already, whom it then expects to answer them. naru's listeners do answer,
// wherever they are; the anchor is the port that certmagic finds taken.
type anchor struct {
	listener net.Listener
	port     int
	over     chan struct{}
}

func newAnchor() (*anchor, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(anchorHost, "0"))
	if err != nil {
		return nil, err
	}
	a := &anchor{listener: l, port: l.Addr().(*net.TCPAddr).Port, over: make(chan struct{})}
	go a.refuse()
	return a, nil
}

const anchorHost = "127.0.0.1"

// refuse ends connections, which are certmagic's looks whether somebody
// listens, until close.
func (a *anchor) refuse() {
	defer close(a.over)
	for {
		c, err := a.listener.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func (a *anchor) close() {
	a.listener.Close()
	<-a.over
}
