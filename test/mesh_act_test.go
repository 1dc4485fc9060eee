package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// act is what this program does in place of tests when it is a workload.
func act(what string, args []string) error {
	switch what {
	case "serve":
		return actServe(args[0], args[1])
	case "greet":
		return actGreet(args[0])
	case "talk":
		return actTalk(args[0])
	case "hammer":
		return actHammer(args[0], args[1:]...)
	case "last":
		return actLast(args[0], args[1])
	case "hold":
		return actHold(args[0], args[1])
	case "svid":
		return actSVID()
	case "bundles":
		return actBundles()
	case "etcd":
		return actEtcd(args[0], args[1])
	}
	return fmt.Errorf("%w: %s", errUnknownAct, what)
}

// acting makes a command into one of this program's acts.
func acting(what string) func(*exec.Cmd) {
	return func(c *exec.Cmd) { c.Env = append(c.Env, "NARU_TEST_ACT="+what) }
}

// perform runs an act as a workload; flags are those of naru exec.
func (h *host) perform(flags []string, what string, args ...string) *running {
	h.t.Helper()
	return h.execAs(acting(what), append(append(flags, "--", testProgram(h.t)), args...)...)
}

// testProgram is this program.
func testProgram(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// actServe answers with its name. /held answers when the server is told to
// stop, which it does as servers should: what it has begun it ends.
func actServe(at, name string) error {
	if !strings.Contains(at, ":") { // a port
		at = ":" + at
	}
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	stopped := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("held")
		<-stopped
		fmt.Fprint(w, name+" to the end")
	})
	server := &http.Server{Handler: mux}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	fmt.Println("listening")
	select {
	case err := <-ended:
		return err
	case <-stop:
	}
	fmt.Println("told to stop")
	close(stopped)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return server.Shutdown(ctx)
}

// actGreet is a server that speaks first, and then says everything again.
func actGreet(port string) error {
	ln, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, "welcome\n")
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// actTalk connects, and prints what it hears; it says what it is told by
// standard input.
func actTalk(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if errors.Is(err, syscall.ECONNRESET) { // the reset was quicker than the connect's return
		fmt.Println("over:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() { _, _ = io.Copy(conn, os.Stdin) }()
	in := bufio.NewScanner(conn)
	for in.Scan() {
		fmt.Println(in.Text())
	}
	fmt.Println("over:", in.Err())
	return nil
}

const hammers = 4

// actHammer asks by some connections at once until it is told to stop, and
// prints what came of it. every, if any, is how often each asks.
func actHammer(url string, every ...string) error {
	pace := make(<-chan time.Time)
	if len(every) > 0 {
		d, err := time.ParseDuration(every[0])
		if err != nil {
			return err
		}
		t := time.NewTicker(d / hammers)
		defer t.Stop()
		pace = t.C
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var good, bad atomic.Int64
	var workers sync.WaitGroup
	var once sync.Once
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: patience}
	ask := func() {
		res, err := client.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err == nil && res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
		}
		if err != nil {
			if bad.Add(1) <= 5 {
				fmt.Println("bad:", err)
			}
		} else if good.Add(1) == 200 {
			once.Do(func() { fmt.Println("warm") })
		}
	}
	for range hammers {
		workers.Go(func() {
			for ctx.Err() == nil {
				ask()
				if len(every) > 0 {
					<-pace
				}
			}
		})
	}
	workers.Wait()
	fmt.Printf("good %d bad %d\n", good.Load(), bad.Load())
	return nil
}

// actSVID asks the Workload API by go-spiffe's client.
func actSVID() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	x, err := c.FetchX509SVID(ctx)
	if err != nil {
		return err
	}
	if err := x.PrivateKey.Public(); err == nil {
		return errors.New("no key")
	}
	fmt.Println(x.ID)
	return nil
}

// actBundles prints the trust domains that it is told of, and then those of
// each change.
func actBundles() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	c, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.WatchX509Bundles(ctx, bundlePrinter{}); ctx.Err() == nil {
		return err
	}
	return nil
}

type bundlePrinter struct{}

func (bundlePrinter) OnX509BundlesUpdate(set *x509bundle.Set) {
	var list []string
	for _, b := range set.Bundles() {
		list = append(list, b.TrustDomain().Name())
	}
	slices.Sort(list)
	fmt.Println("believes", strings.Join(list, " "))
}

func (bundlePrinter) OnX509BundlesWatchError(err error) { fmt.Println("error:", err) }
