package etcd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/naru-mesh/naru/store"
	"github.com/naru-mesh/naru/store/storetest"
	"github.com/naru-mesh/naru/test/freeport"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("NARU_TEST_WRITER"); dir != "" {
		writer(dir)
	}
	if dir := os.Getenv("NARU_TEST_FULL"); dir != "" {
		filler(dir)
	}
	if dir := os.Getenv("NARU_TEST_DAMAGED"); dir != "" {
		_, err := Open(context.Background(), small(dir))
		fmt.Println(err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(patient{m})
}

// patient gives etcd the 5 s after which it closes connections between members.
type patient struct{ tests *testing.M }

func (p patient) Run() int {
	code := p.tests.Run()
	for end := time.Now().Add(15 * time.Second); code == 0 && time.Now().Before(end) && goleak.Find() != nil; {
	}
	return code
}

// small has no reserve, so that a test does not depend on the machine's disk.
func small(dir string) Options {
	return Options{Dir: dir, Reserve: -1, LeaderTTL: 2 * time.Second}
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(ctx context.Context, s *Store, key, value string) error {
	_, done, err := s.Txn(ctx, nil, store.Op{Key: key, Value: []byte(value)})
	if err == nil && !done {
		err = errors.New("not done")
	}
	return err
}

func get(t *testing.T, s *Store, key string) string {
	t.Helper()
	item, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return string(item.Value)
}

// TestConformance runs the suite that every Store passes.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Compacter { return open(t, small(t.TempDir())) })
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := open(t, small(dir))
	began := time.Now()
	for i := range 100 {
		if err := put(t.Context(), s, fmt.Sprintf("k/%02d", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a write took %s", time.Since(began)/100)
	id, err := s.Lease(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Txn(t.Context(), nil, store.Op{Key: "k/leased", Lease: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), small(dir)); err == nil || !strings.Contains(err.Error(), "used by another") {
		t.Fatalf("a second one on the same folder: %v", err)
	}
	before, at, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	s = open(t, small(dir))
	t.Logf("a start took %s", time.Since(began))
	after, now, err := s.List(t.Context(), "")
	if err != nil || now != at || len(after) != len(before) || after[100].Lease != id {
		t.Fatalf("%d keys at %d, %v; want %d at %d", len(after), now, err, len(before), at)
	}
	// A watch from before the restart goes on.
	if err := put(t.Context(), s, "k/new", ""); err != nil {
		t.Fatal(err)
	}
	errSeen := errors.New("seen")
	err = s.Watch(t.Context(), "k/", at, func(e []store.Event) error {
		if e[0].Key != "k/new" {
			t.Errorf("told %+v", e)
		}
		return errSeen
	})
	if err != errSeen {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has the mode %v, %v", info.Mode(), err)
	}
}

// writer writes and says what is written until it is killed.
func writer(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir, Reserve: -1})
	for i := 0; err == nil; i++ {
		if err = put(context.Background(), s, fmt.Sprint("k/", i), fmt.Sprint(i)); err == nil {
			fmt.Println(i)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "NARU_TEST_WRITER="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	written := -1
	for in := bufio.NewScanner(out); in.Scan(); {
		var n int
		if _, err := fmt.Sscan(in.Text(), &n); err != nil {
			t.Errorf("the writer says %s", in.Text())
			break
		}
		if written = n; n == 200 {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = c.Wait() // it was killed
	if written < 200 {
		t.Fatalf("only %d were written", written)
	}
	s := open(t, small(dir))
	for i := range written + 1 {
		if got := get(t, s, fmt.Sprint("k/", i)); got != fmt.Sprint(i) {
			t.Fatalf("key %d is %q", i, got)
		}
	}
	t.Logf("%d writes, all there after SIGKILL", written+1)
}

// TestNothingListens: an embedded server that is alone has no socket.
func TestNothingListens(t *testing.T) {
	s := open(t, small(t.TempDir()))
	if n := len(s.server.run.etcd.Clients) + len(s.server.run.etcd.Peers); n != 0 {
		t.Errorf("%d listeners", n)
	}
	status, err := s.Status(t.Context())
	if err != nil || status.Kind != "embedded" || status.Leader == "" || status.Leader != status.Member || status.Size == 0 || status.Free <= 0 {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestPrefixes(t *testing.T) {
	members := cluster(t, 1)
	a := members[0]
	if err := put(t.Context(), a, "x", "a's"); err != nil {
		t.Fatal(err)
	}
	a.opt.Prefix = "other/" // as another Store on the same server
	if _, err := a.Get(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("another prefix: %v", err)
	}
}

// TestFault has the server end as it does when it cannot write: the process
// goes on, calls fail, and it comes back with everything.
func TestFault(t *testing.T) {
	s := open(t, small(t.TempDir()))
	if err := put(t.Context(), s, "a", "1"); err != nil {
		t.Fatal(err)
	}
	_, at, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan store.Event, 1)
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() {
		watching <- s.Watch(ctx, "", at, func(e []store.Event) error { seen <- e[0]; return nil })
	}()
	ended := make(chan struct{})
	log := s.server.run.etcd.GetLogger()
	go func() {
		defer close(ended)
		log.Fatal("a failure made by a test")
	}()
	<-ended
	unavailable := false
	eventually(t, "writing again", func() bool {
		err := put(t.Context(), s, "a", "2")
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("while it is away: %v", err)
		}
		unavailable = unavailable || err != nil
		return err == nil && unavailable
	})
	if e := <-seen; string(e.Value) != "2" {
		t.Errorf("the watch across the restart told %+v", e)
	}
	cancel()
	if err := <-watching; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// eventually asks again until it is so.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for !ask() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within two minutes", what)
		}
	}
}

// ports are the test's until it ends.
func ports(t *testing.T, n int) (list []string) {
	t.Helper()
	for range n {
		list = append(list, "127.0.0.1:"+freeport.Hold(t))
	}
	return list
}

// cluster starts members that know each other.
func cluster(t *testing.T, n int) []*Store {
	t.Helper()
	peers := map[string]string{}
	for i, addr := range ports(t, n) {
		peers[fmt.Sprint("m", i)] = "http://" + addr
	}
	members := make([]*Store, n)
	errs := make(chan error, n)
	for i := range members {
		o := small(t.TempDir())
		o.Name, o.Peers, o.Wait = fmt.Sprint("m", i), peers, 3*time.Second
		if testing.Verbose() {
			o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		}
		go func() {
			var err error
			members[i], err = Open(t.Context(), o)
			errs <- err
		}()
	}
	for range members {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, m := range members {
			m.Close()
		}
	})
	return members
}

// TestDamaged: files that are damaged are told of at once, with what can be done.
// etcd leaves a goroutine behind then, so that another process tries.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), small(dir))
	if err == nil {
		err = errors.Join(put(t.Context(), s, "a", "b"), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "member", "snap", "db"), 4096); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "NARU_TEST_DAMAGED="+dir)
	text, err := cmd.Output()
	if said := string(text); err != nil || !strings.Contains(said, "file size too small") || !strings.Contains(said, "where the files in "+dir+" are damaged") {
		t.Errorf("%v, %s", err, said)
	}
}
