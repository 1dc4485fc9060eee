// Command demo starts the shop behind naru, shows that it works, and leaves
// nothing behind. It expects the other programs in the folder it lies in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	config := flag.String("config", "examples/shop/naru.yaml", "the gateway's configuration")
	once := flag.Bool("once", false, "stop after the first requests")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *config, *once); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config string, once bool) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "naru-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{ctx: ctx, bin: filepath.Dir(self), dir: dir}
	defer s.stop()
	gateway, err := s.start(config)
	if err != nil {
		return err
	}
	if err := show(ctx, gateway); err != nil {
		return err
	}
	if once {
		return nil
	}
	fmt.Printf(`
The shop is open.
  shop      %[1]s/            in a browser
  admin     %[2]s/            metrics, configuration, problems
  config    %[3]s

Try:
  curl %[1]s/api/catalog/items
  curl -i %[1]s/api/orders -d '{"item":"boat","quantity":9}'     (declined by payments)
  curl %[2]s/metrics | grep naru_requests_total
  bin/naru explain GET %[1]s/api/catalog/items -f %[3]s
  edit the configuration above and save it: naru says here what changed or is wrong

Ctrl-C ends everything.
`, gateway, s.admin, s.config)
	s.terminal.open.Store(true)
	select {
	case <-ctx.Done():
		fmt.Println("\nclosing the shop")
		return nil
	case err := <-s.died:
		return err
	}
}
