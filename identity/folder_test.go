package identity

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestKeepers: a folder is believed where nobody else can have made it, or can
// write to it.
func TestKeepers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("it takes root to make folders of others")
	}
	const own, other, third = 54321, 54322, 54323
	for _, c := range []struct {
		name  string
		make  func(base string) string
		want  []uint32 // besides root and own
		wrong string
	}{
		{"one's own", func(b string) string { return folder(t, b+"/own", own, 0o700) }, nil, ""},
		{"root's", func(b string) string { return folder(t, b+"/run", 0, 0o755) }, nil, ""},
		{"given to a service by root", func(b string) string { return folder(t, b+"/naru", other, 0o755) }, []uint32{other}, ""},
		{"made by another one in a folder for all", func(b string) string {
			return folder(t, folder(t, b+"/tmp", 0, 0o777|fs.ModeSticky)+"/naru-54321", other, 0o755)
		}, nil, "/tmp/naru-54321 belongs to user 54322"},
		{"one's own in a folder for all", func(b string) string {
			return folder(t, folder(t, b+"/tmp", 0, 0o777|fs.ModeSticky)+"/naru-54321", own, 0o755)
		}, nil, ""},
		{"below what another one has made in a folder for all", func(b string) string {
			return folder(t, folder(t, folder(t, b+"/tmp", 0, 0o777|fs.ModeSticky)+"/x", other, 0o755)+"/naru", own, 0o755)
		}, nil, "/tmp/x belongs to user 54322"},
		{"for all, itself", func(b string) string { return folder(t, b+"/tmp", 0, 0o777|fs.ModeSticky) }, nil, ""},
		{"writable to all", func(b string) string { return folder(t, b+"/own", own, 0o777) }, nil, "whose mode is 0777"},
		{"below one that is writable to all", func(b string) string {
			return folder(t, folder(t, b+"/open", 0, 0o777)+"/own", own, 0o700)
		}, nil, "whose mode is 0777"},
		{"writable to a group", func(b string) string {
			at := folder(t, b+"/own", own, 0o775)
			if err := os.Chown(at, own, third); err != nil {
				t.Fatal(err)
			}
			return at
		}, nil, "whose mode is 0775"},
		{"writable to a group that is its owner's alone", func(b string) string { return folder(t, b+"/own", own, 0o775) }, nil, ""},
		{"by another one's link in a folder for all", func(b string) string {
			at := folder(t, b+"/tmp", 0, 0o777|fs.ModeSticky) + "/naru-54321"
			link(t, folder(t, b+"/own", own, 0o700), at, other)
			return at
		}, nil, "belongs to user 54322"},
		{"by root's link, up and down", func(b string) string {
			folder(t, b+"/own", own, 0o700)
			link(t, "../own/", folder(t, b+"/run", 0, 0o755)+"/naru", 0)
			return b + "/run/naru"
		}, nil, ""},
		{"by a link that leads to itself", func(b string) string { link(t, b+"/x", b+"/x", 0); return b + "/x" }, nil, "too many levels"},
		{"a file", func(b string) string {
			if err := os.WriteFile(b+"/file", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			return b + "/file"
		}, nil, "not a directory"},
	} {
		base := folder(t, filepath.Join(t.TempDir(), "base"), 0, 0o755)
		got, err := keepers(c.make(base), own)
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, and not %s", c.name, err, c.wrong)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !slices.Equal(got, append([]uint32{0, own}, c.want...)):
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if _, err := Keepers(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
}

func folder(t *testing.T, path string, uid int, mode fs.FileMode) string {
	t.Helper()
	if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode), os.Chown(path, uid, uid)); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, to, at string, uid int) {
	t.Helper()
	if err := errors.Join(os.Symlink(to, at), os.Lchown(at, uid, uid)); err != nil {
		t.Fatal(err)
	}
}

// TestKeptBy: who serves at a socket is asked of the kernel.
func TestKeptBy(t *testing.T) {
	t.Parallel()
	dial := func(path string) func() (net.Conn, error) {
		return func() (net.Conn, error) { return net.Dial("unix", path) }
	}
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := KeptBy(path, dial(path))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if uid, err := PeerUser(conn); err != nil || uid != uint32(os.Getuid()) {
		t.Errorf("user %d, %v", uid, err)
	}
	if _, err := KeptBy(path+"/x", dial(path)); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	if os.Getuid() != 0 {
		return // it takes root to be somebody else
	}
	base := t.TempDir()
	if err := errors.Join(os.Chmod(base, 0o755), os.Chmod(filepath.Dir(base), 0o755)); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(folder(t, base+"/tmp", 0, 0o777|fs.ModeSticky), "socket")
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		var l net.Listener
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 54322, ^uintptr(0)); e == 0 {
			l, _ = net.Listen("unix", theirs)
		}
		listening <- l
	}()
	foreign := <-listening
	if foreign == nil {
		t.Fatal("nobody listens")
	}
	defer foreign.Close()
	if _, err := KeptBy(theirs, dial(theirs)); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "user 54322 serves at") {
		t.Errorf("served by another user: %v", err)
	}
}
