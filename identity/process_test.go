package identity

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestGone has a process end whose number another one gets.
func TestGone(t *testing.T) {
	t.Parallel()
	p := Process{PID: os.Getpid(), Began: Began(os.Getpid())}
	if p.Began == "" || p.Gone() {
		t.Error("this process is there", p.Began)
	}
	p.Began += "1"
	if !p.Gone() {
		t.Error("a process that began at another time is another one")
	}
	if got := Began(1 << 30); got != "" {
		t.Errorf("a process that is not there began at %s", got)
	}
	if !(Process{PID: 1 << 30}).Gone() {
		t.Error("a process that was never there is not gone")
	}
}

// TestPeerProcess: who has connected is known, and who has ended since is
// nobody, though the connection is open.
func TestPeerProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := PeerProcess(conn)
	if err != nil || p.PID != os.Getpid() || p.UID != uint32(os.Getuid()) || p.Began != Began(os.Getpid()) {
		t.Errorf("%+v, %v", p, err)
	}

	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	// It connects, and leaves the connection to a child.
	cmd := exec.Command(python, "-c", `
import os,socket,sys
s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
if os.fork()==0:
    os.close(1); s.recv(1); os._exit(0)
os._exit(0)`, path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	of := cmd.Process.Pid
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	left, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close() // the child ends then
	if p, err := PeerProcess(left); !errors.Is(err, errEnded) && !(err == nil && p.PID == of && p.Gone()) {
		t.Errorf("%+v, %v", p, err)
	}
}
