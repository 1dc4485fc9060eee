package loop

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestListeningCloseResetsNobody: a client that connects while the listening
// ends is served or refused, never connected and then reset.
func TestListeningCloseResetsNobody(t *testing.T) {
	t.Parallel()
	for range 6 {
		d := start(t, 2)
		l := listen(t, d, echo)
		addr := l.Addr().String()
		var clients sync.WaitGroup
		var served atomic.Int64
		busy := make(chan struct{})
		for range 4 {
			clients.Go(func() {
				b := make([]byte, 1)
				for {
					c, err := net.Dial("tcp", addr)
					if errors.Is(err, syscall.ECONNREFUSED) {
						return
					}
					if err == nil {
						if _, err = c.Write(b); err == nil {
							_, err = c.Read(b)
						}
						c.Close()
					}
					if err != nil {
						t.Error("after", served.Load(), "clients:", err)
						return
					}
					if served.Add(1) == 200 {
						close(busy)
					}
				}
			})
		}
		<-busy
		l.Close()
		clients.Wait()
	}
}
