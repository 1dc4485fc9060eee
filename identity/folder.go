package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrForeign is of a folder into which somebody may put files who is not to be
// believed, and of a socket at which such a user serves.
var ErrForeign = errors.New("somebody else may serve there")

// mostLinks bounds the symbolic links on the way to a folder, as the kernel does.
const mostLinks = 40

// Keepers are the users who decide what is met in a folder: root, this
// process's own, and whomever one of these has given a folder on the way to (as
// systemd gives /run/naru to the user of a service). It is ErrForeign where
// anybody else may put files there, or something else in place of a folder on
// the way: what others make in a folder for all, such as /tmp/naru-1000, is not
// believed to be ours. Access control lists beside the mode count as it shows
// them (acl(5)). The folder must be there: fs.ErrNotExist.
func Keepers(folder string) ([]uint32, error) { return keepers(folder, uint32(os.Getuid())) }

func keepers(folder string, own uint32) ([]uint32, error) {
	if !filepath.IsAbs(folder) {
		here, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		folder = here + "/" + folder
	}
	trusted := []uint32{0, own}
	at, rest, links := "/", parts(folder), 0
	shared := false // others may make entries where at is, each his own
	for {
		info, err := os.Lstat(at)
		if err != nil {
			return nil, err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: its owner is not told", at)
		case slices.Contains(trusted, st.Uid):
		case shared:
			return nil, fmt.Errorf("%w: %s belongs to user %s; remove it if you do not know why it is there", ErrForeign, at, userName(st.Uid))
		default:
			trusted = append(trusted, st.Uid) // who was given it by one who may
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(at)
			if err != nil {
				return nil, err
			}
			if links++; links > mostLinks {
				return nil, &fs.PathError{Op: "lstat", Path: folder, Err: syscall.ELOOP}
			}
			if !filepath.IsAbs(to) {
				to = filepath.Dir(at) + "/" + to
			}
			at, rest, shared = "/", append(parts(to), rest...), false
			continue
		}
		if !info.IsDir() {
			return nil, &fs.PathError{Op: "lstat", Path: at, Err: syscall.ENOTDIR}
		}
		if shared = writable(info.Mode(), st); shared && info.Mode()&fs.ModeSticky == 0 {
			return nil, fmt.Errorf("%w: other users may write to %s, whose mode is %04o; take their right away (chmod go-w %s)", ErrForeign, at, info.Mode().Perm(), at)
		}
		if len(rest) == 0 {
			return trusted, nil
		}
		// at has no link in it, so that .. is what it looks like.
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// writable says whether others than its owner and root may make entries in a
// folder. A group of the owner's number is one that was made for him alone.
func writable(mode fs.FileMode, st *syscall.Stat_t) bool {
	const group, others = 0o020, 0o002
	return mode&others != 0 || mode&group != 0 && st.Gid != 0 && st.Gid != st.Uid
}

// PeerUser asks the kernel which user serves at the other end of a connection to
// a Unix socket: the one who listened there (unix(7), SO_PEERCRED).
func PeerUser(u *net.UnixConn) (uint32, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return cred.Uid, nil
}

// KeptBy connects to a Unix socket and makes sure that one of the Keepers of its
// folder listens there, before a byte is sent: ErrForeign. dial connects. A
// socket without a folder (abstract) must be root's, or this user's own.
func KeptBy(path string, dial func() (net.Conn, error)) (*net.UnixConn, error) {
	own := uint32(os.Getuid())
	trusted := []uint32{0, own}
	if !strings.HasPrefix(path, "@") {
		var err error
		trusted, err = keepers(filepath.Dir(path), own)
		var at *fs.PathError
		switch {
		case errors.As(err, &at): // the kernel would not have come further
			return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: at}
		case err != nil:
			return nil, err
		}
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%s is no Unix socket", path)
	}
	uid, err := PeerUser(u)
	if err == nil && !slices.Contains(trusted, uid) {
		err = fmt.Errorf("%w: user %s serves at %s", ErrForeign, userName(uid), path)
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// userName is that of a user, or the number where it has none.
func userName(uid uint32) string {
	text := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}
