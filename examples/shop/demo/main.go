// Command demo runs the shop inside a mesh, shows that it works, and leaves
// nothing behind. It expects the other programs in the folder it lies in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	config := flag.String("config", "examples/shop/naru.yaml", "naru's configuration")
	once := flag.Bool("once", false, "stop after the first requests")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	// Whoever reads what we print may end first (demo | head), which must not
	// end us before the programs that we started.
	signal.Ignore(syscall.SIGPIPE)
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
	// What we start is told to end when the thread ends that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &stage{ctx: ctx, bin: filepath.Dir(self), dir: dir}
	defer s.stop()
	if err := s.start(config); err != nil {
		return err
	}
	if err := s.show(); err != nil {
		return errors.Join(err, s.said())
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
  bin/naru status --socket %[5]s
  bin/naru exec --socket %[4]s --account visitor -- bin/visitor http://payments:9004/charges '{"order":"boat","cents":100}'
  curl %[2]s/metrics | grep -e naru_requests_total -e naru_policy
  bin/naru explain GET %[1]s/api/catalog/items -f %[3]s
  edit the configuration above (let visitor pay) and save it: naru says here what changed or is wrong

Ctrl-C ends everything.
`, s.gateway, s.admin, s.config, s.socket, s.control)
	// naru's messages about a changed configuration belong before the eyes of
	// whoever changes it.
	said, err := os.Open(s.naru.log)
	if err != nil {
		return err
	}
	defer said.Close()
	if _, err := said.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Println("\nclosing the shop")
			return nil
		case p := <-s.died:
			return p.ended()
		case <-tick.C:
			if _, err := io.Copy(os.Stdout, said); err != nil && !errors.Is(err, syscall.EPIPE) {
				return err
			}
		}
	}
}
