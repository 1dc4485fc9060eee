package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/naru-mesh/naru/link"
)

// follow is the proxies' half: n tokens on standard input, and a line with the
// time on standard output whenever a change has reached all. It ends with its
// standard input.
func follow(n int) error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<16)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	a := &arrivals{all: n, seen: map[string]int{}}
	for i := range n {
		if !in.Scan() {
			return fmt.Errorf("%d tokens of %d", i, n)
		}
		c, err := link.NewClient(link.ClientOptions{Node: fmt.Sprintf("node-%04d", i), Token: in.Text(), Sink: a.came, Version: "bench",
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		wg.Go(func() {
			if err := c.Run(ctx); ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	in.Scan() // nothing comes: the end
	return nil
}

// arrivals counts where each version of each resource has come.
type arrivals struct {
	mu    sync.Mutex
	all   int
	seen  map[string]int // sum -> proxies
	first bool           // the first configuration has come to all
}

func (a *arrivals) came(r link.Resource) {
	if r.Kind != link.KindWorkload {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen[r.Sum]++; a.seen[r.Sum] < a.all {
		return
	}
	delete(a.seen, r.Sum)
	if !a.first {
		// The first configuration is complete when nothing is on its way.
		a.first = len(a.seen) == 0
		return
	}
	fmt.Println(time.Now().UnixNano())
}
