package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestHolder: of a port that is in use it is said which process has it.
func TestHolder(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if got := named(syscall.EADDRINUSE, port); got != error(syscall.EADDRINUSE) {
		t.Errorf("of our own: %v", got)
	}
	// The socket passes to another process, and is ours no more.
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("cat")
	c.ExtraFiles = []*os.File{file}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Skipf("no program can be started: %v", err)
	}
	t.Cleanup(func() { in.Close(); _ = c.Wait() })
	file.Close()
	l.Close()
	got := named(syscall.EADDRINUSE, port)
	if !errors.Is(got, syscall.EADDRINUSE) || !strings.Contains(got.Error(), " (cat) of user ") || !strings.Contains(got.Error(), fmt.Sprintf("process %d ", c.Process.Pid)) {
		t.Errorf("%v", got)
	}
	if got := named(syscall.EACCES, port); got != error(syscall.EACCES) {
		t.Errorf("another error: %v", got)
	}
}
