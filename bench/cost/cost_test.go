package cost

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestSelf(t *testing.T) {
	t.Parallel()
	pids := Tree(os.Getpid())
	if !slices.Contains(pids, os.Getpid()) || slices.Contains(pids, os.Getppid()) {
		t.Fatal(pids)
	}
	was := Read(pids)
	for Read(pids).Since(was) < 20*time.Millisecond {
	}
	if r := Resident(pids); r < 1<<20 {
		t.Fatal(r)
	}
	if len(Tree(1)) == 0 || Occupied(0) == 0 {
		t.Fatal("nothing of the machine was found")
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	was := Sample{Threads: time.Second, Ticks: time.Second}
	now := Sample{Threads: 2 * time.Second, Ticks: 2*time.Second + tick}
	if d := now.Since(was); d != time.Second {
		t.Errorf("threads are exact: %v", d)
	}
	now.Ticks = 3 * time.Second // a thread that ended took a second along
	if d := now.Since(was); d != 2*time.Second {
		t.Errorf("an ended thread is lost: %v", d)
	}
}
