package attest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// TestListenings: where a process takes connections is told apart from where
// others do.
func TestListenings(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	is := func(l Listening) bool { return l.At == at }
	all, err := Listenings(os.Getpid())
	if err != nil || !slices.ContainsFunc(all, is) {
		t.Fatalf("%v is not among %v, %v", at, all, err)
	}
	if own := Own(os.Getpid(), all); !slices.ContainsFunc(own, is) {
		t.Errorf("%v is not among its own, %v", at, own)
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if own := Own(child.Process.Pid, all); len(own) > 0 {
		t.Errorf("a child that has none has %v", own)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := Listenings(child.Process.Pid); err == nil {
		t.Error("the network of a process that has ended is told")
	}
}

func TestReadListenings(t *testing.T) {
	t.Parallel()
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:232A 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:232A 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0000000000000000 100 0 0 10 0
   2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0000000000000000 100 0 0 10 0
   3: xx:1F90 0:0 0A 0:0 0:0 0 0 0 4245
   4: short
`
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the text is of a machine whose words begin with their least byte")
	}
	if got := readListenings(text); len(got) != 2 ||
		got[0] != (Listening{netip.MustParseAddrPort("127.0.0.1:9002"), 4242}) || got[1] != (Listening{netip.MustParseAddrPort("[::1]:8080"), 4244}) {
		t.Errorf("%v", got)
	}
}
