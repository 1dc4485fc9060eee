package etcd

import (
	"fmt"
	"os"
	"syscall"

	"github.com/naru-mesh/naru/store"
)

// room refuses a write while the disk is nearly full: etcd could not finish it
// and would have to give up. What only deletes may go further.
func (v *server) room(grows bool) error {
	need := v.opt.Reserve
	if !grows {
		need /= 4
	}
	if free, err := freeBytes(v.opt.Dir); err == nil && free < need {
		return noRoom(v.opt.Dir, free, need)
	}
	return nil
}

func noRoom(dir string, free, need int64) error {
	const mib = 1 << 20
	return fmt.Errorf("%w: the disk of %s has %d MiB left, %d MiB must be free for writing", store.ErrUnavailable, dir, free/mib, need/mib)
}

// freeBytes is what this process may still write below a folder. It takes a
// microsecond.
func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// lockFile makes a file that one process at a time may have open.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
