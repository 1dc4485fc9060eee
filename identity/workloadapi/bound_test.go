package workloadapi

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

// TestConnectionsAreBounded: a user gets so many, those that he has closed do
// not count, and root is not bounded.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBounded(nil)
	for i := range mostConnections {
		if !b.enter(1234) {
			t.Fatalf("refused at %d", i)
		}
		if !b.enter(0) {
			t.Fatal("root is refused")
		}
	}
	if b.enter(1234) || !b.enter(0) || !b.enter(1235) {
		t.Errorf("%v", b.open)
	}
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b = newBounded(l)
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.open) != 1 {
		t.Errorf("%v", b.open)
	}
	if _, info, err := (peers{}).ServerHandshake(c); err != nil || info.(caller).PID == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	c.Close()
	c.Close()
	if len(b.open) != 0 {
		t.Errorf("closed, and counted: %v", b.open)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}
