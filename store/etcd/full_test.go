package etcd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/storetest"
)

// TestQuota fills the database: writing fails and reading goes on; when much is
// deleted it makes room by itself.
func TestQuota(t *testing.T) {
	o := small(t.TempDir())
	o.Quota = 8 << 20
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s := open(t, o)
	value := strings.Repeat("x", 256<<10)
	n := 0
	var err error
	for ; n < 100; n++ {
		if err = put(t.Context(), s, fmt.Sprint("k/", n), value); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "quota") {
		t.Fatalf("after %d writes: %v", n, err)
	}
	if got := get(t, s, "k/0"); got != value {
		t.Fatal("reading has ended, too")
	}
	if status, err := s.Status(t.Context()); err != nil || len(status.Problems) == 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	for i := range n {
		if _, _, err := s.Txn(t.Context(), nil, store.Op{Key: fmt.Sprint("k/", i), Delete: true}); err != nil {
			t.Fatalf("deleting: %v", err)
		}
	}
	eventually(t, "writing again", func() bool { return put(t.Context(), s, "k/new", value) == nil })
}

// TestDiskFull fills a small disk below a running store.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	const size, reserve = 256 << 20, 48 << 20
	if err := syscall.Mount("naru-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	o := small(filepath.Join(dir, "state"))
	o.Reserve = reserve
	s := open(t, o)
	t.Cleanup(func() { s.Close() })
	if err := put(t.Context(), s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	fill := func(leave int64) *os.File {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 1<<20)
		for {
			if free, err := freeBytes(dir); err != nil || free <= leave {
				return f
			}
			if _, err := f.Write(block); err != nil {
				return f
			}
		}
	}
	free := func(f *os.File) {
		f.Close()
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
	f := fill(reserve / 2)
	err := put(t.Context(), s, "a", "2")
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "the disk of") {
		t.Fatalf("with a full disk: %v", err)
	}
	if _, err := s.Lease(t.Context(), time.Minute); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a lease with a full disk: %v", err)
	}
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("reading with a full disk: %q", got)
	}
	if _, _, err := s.Txn(t.Context(), nil, store.Op{Key: "b", Delete: true}); err != nil {
		t.Fatalf("deleting with a full disk: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if got := get(t, s, "a"); got != "1" {
		t.Fatalf("reading after a start with a full disk: %q", got)
	}
	free(f)
	if err := put(t.Context(), s, "a", "2"); err != nil {
		t.Fatalf("with room again: %v", err)
	}

	// Without a reserve etcd itself runs into it, in a process of its own, as
	// what hangs there then keeps the database locked: that process goes on, and
	// nothing that was answered is lost.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "NARU_TEST_FULL="+o.Dir)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the writer says %q", lines.Text())
	}
	f = fill(0)
	fmt.Fprintln(in, "full")
	kept := 0
	if !lines.Scan() {
		t.Fatal("the writer has ended")
	}
	if _, err := fmt.Sscanf(lines.Text(), "unavailable after %d", &kept); err != nil {
		t.Fatalf("the writer says %q", lines.Text())
	}
	in.Close()
	if err := c.Wait(); err != nil {
		t.Fatalf("the writer ended with %v", err)
	}
	free(f)
	s = open(t, o)
	t.Cleanup(func() { s.Close() })
	for i := range kept {
		if get(t, s, fmt.Sprint("k/", i)) != fullValue {
			t.Fatalf("key %d is lost", i)
		}
	}
	t.Logf("%d writes before the disk was full, all there", kept)
}

var fullValue = strings.Repeat("x", 512<<10)

// filler writes until the store cannot, and says after how many; it ends with
// its standard input.
func filler(dir string) {
	o := small(dir)
	s, err := Open(context.Background(), o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	for i := 0; ; i++ {
		if err = put(context.Background(), s, fmt.Sprint("k/", i), fullValue); errors.Is(err, store.ErrUnavailable) {
			fmt.Println("unavailable after", i)
			break
		} else if err != nil {
			fmt.Println(err)
		}
	}
	in.Scan()
	os.Exit(0)
}

// TestOutside is a client of a server that somebody else runs, shared with others.
func TestOutside(t *testing.T) {
	c := embed.NewConfig()
	c.Dir, c.LogLevel = t.TempDir(), "panic"
	listen := ports(t, 2)
	own, peer := url.URL{Scheme: "http", Host: listen[0]}, url.URL{Scheme: "http", Host: listen[1]}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{own}, []url.URL{own}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.Name + "=" + peer.String()
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(e.Close)
	t.Cleanup(stop)
	<-e.Server.ReadyNotify()
	n := 0
	storetest.Run(t, func(t *testing.T) storetest.Compacter {
		n++
		return open(t, Options{Endpoints: []string{own.String()}, Prefix: fmt.Sprint("naru", n, "/"), LeaderTTL: 2 * time.Second})
	})
	s := open(t, Options{Endpoints: []string{own.String()}, Wait: time.Second})
	if status, err := s.Status(t.Context()); err != nil || status.Kind != "outside" || status.Free != -1 {
		t.Errorf("status %+v, %v", status, err)
	}
	stop()
	if err := put(t.Context(), s, "a", "1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
}
