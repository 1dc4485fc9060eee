package loop

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Release gives back the memory that starting has needed: free pages of the
// heap, and pages of the program that are like its file. What is needed of
// those comes back from the page cache by a fault each, so it is called once, at
// rest. Any goroutine; it takes some milliseconds.
func Release() {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unchanged(maps, exe) {
		// What fails stays where it is.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// unchanged finds the mappings of a file in proc(5)'s smaps that cannot be
// written and have no page of their own: what the linker has relocated, and
// where a debugger has put its breaks, is nowhere else.
func unchanged(smaps []byte, file string) (all []mapping) {
	var now mapping
	for line := range bytes.Lines(smaps) {
		f := bytes.Fields(line)
		switch {
		case len(f) < 3:
		case bytes.Equal(f[0], []byte("Anonymous:")):
			if now.end != 0 && string(f[1]) == "0" {
				all = append(all, now)
			}
			now = mapping{}
		case len(f) >= 6 && !bytes.HasSuffix(f[0], []byte(":")): // the first line of one
			now = mapping{}
			from, to, _ := bytes.Cut(f[0], []byte("-"))
			start, err1 := strconv.ParseUint(string(from), 16, strconv.IntSize)
			end, err2 := strconv.ParseUint(string(to), 16, strconv.IntSize)
			perms := string(f[1])
			if err1 == nil && err2 == nil && string(bytes.Join(f[5:], []byte(" "))) == file && (perms == "r-xp" || perms == "r--p") {
				now = mapping{uintptr(start), uintptr(end)}
			}
		}
	}
	return all
}
