// Package cost reads what a process tree has used, from /proc.
//
// # Words
//
// A tree is a process and all that descend from it. A Sample is its processor
// time at one moment.
//
// # Rules
//
// Time is read in nanoseconds, from schedstat of each thread. A thread that
// ended takes its figure along; the process's utime and stime, which keep it
// but count in ticks of 10 ms, are read too, and are believed when they say
// clearly more.
package cost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Tree gives root and its descendants.
func Tree(root int) []int {
	children := map[int][]int{}
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		f := stat(name)
		if len(f) < 2 {
			continue // it ended just now
		}
		parent, _ := strconv.Atoi(f[1])
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// stat gives the fields of a stat file from the state on (field 3), because
// the name before may contain blanks.
func stat(name string) []string {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	_, after, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	return strings.Fields(after)
}

// Sample is the processor time of some processes.
type Sample struct {
	Threads time.Duration // of the threads that live, exact
	Ticks   time.Duration // of the processes, ended threads included, to 10 ms
}

const tick = 10 * time.Millisecond

// Read samples processes. One that has ended counts nothing.
func Read(pids []int) Sample {
	var s Sample
	for _, pid := range pids {
		names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, name := range names {
			b, _ := os.ReadFile(name)
			ns, _, _ := strings.Cut(string(b), " ")
			n, _ := strconv.ParseInt(ns, 10, 64)
			s.Threads += time.Duration(n)
		}
		if f := stat(fmt.Sprintf("/proc/%d/stat", pid)); len(f) > 12 {
			user, _ := strconv.ParseInt(f[11], 10, 64)
			system, _ := strconv.ParseInt(f[12], 10, 64)
			s.Ticks += time.Duration(user+system) * tick
		}
	}
	return s
}

// Since gives the time used since an earlier Sample of the same processes.
func (s Sample) Since(was Sample) time.Duration {
	threads, ticks := s.Threads-was.Threads, s.Ticks-was.Ticks
	if ticks > threads+threads/20+3*tick {
		return ticks // threads ended
	}
	return threads
}

// Resident gives the resident memory of processes in bytes, shared pages
// counted for each.
func Resident(pids []int) int64 {
	sum := int64(0)
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// Own gives the memory of processes in bytes that is not that of files: what
// grows with what they hold. Pages of the program come and go with the kernel.
func Own(pids []int) int64 {
	sum := int64(0)
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && (f[0] == "RssAnon:" || f[0] == "RssShmem:") {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				sum += kib << 10
			}
		}
	}
	return sum
}

// Occupied gives how long a processor was not idle since the machine started,
// to 10 ms.
func Occupied(cpu int) time.Duration {
	b, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != "cpu"+strconv.Itoa(cpu) {
			continue
		}
		sum := int64(0)
		for i, n := range f[1:9] {
			if i == 3 || i == 4 { // idle, and waiting for a disk
				continue
			}
			v, _ := strconv.ParseInt(n, 10, 64)
			sum += v
		}
		return time.Duration(sum) * tick
	}
	return 0
}
