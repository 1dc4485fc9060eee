package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Cage is what one workload runs in.
type Cage struct {
	Place
	name string
	of   *Capture
	// netns is the workload's network namespace, held open; nil where it is ours.
	netns *os.File
	// adopted are those that Adopt brought in, and the cgroups that they were
	// in before.
	adopted map[int]string
}

// Place is where a workload's processes are started, by this process or by
// another one that is told.
type Place struct {
	Cgroup string `json:"cgroup,omitempty"` // folder
	Netns  string `json:"netns,omitempty"`  // file
}

// Close takes the cage away: processes still in it are captured no longer.
func (k *Cage) Close() error {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	if k.of.cages[k.name] != k {
		return nil
	}
	delete(k.of.cages, k.name)
	k.vacate()
	k.forget()
	return k.of.does.release(k)
}

// forget lets go of the network namespace.
func (k *Cage) forget() {
	if k.netns != nil {
		_ = k.netns.Close() // it was open for reading
	}
}

// exiting bounds the wait for processes that are about to be gone.
const exiting = 500 * time.Millisecond

// vacate brings those who were brought in back to where they were: they may
// outlive their workload, and the cgroup could not be removed. Where that is not
// possible they stay, and so does the cgroup until Sweep.
func (k *Cage) vacate() {
	for pid, from := range k.adopted {
		if at, err := cgroupOf(pid); err == nil && at == k.Cgroup {
			_ = adopt(from, pid)
		}
	}
	// One that has closed its files, which is how its end is noticed, but has
	// not left its cgroup yet cannot be moved; it is not listed any more.
	for end := time.Now().Add(exiting); len(k.adopted) > 0 && dying(k.Cgroup) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// Inside runs fn where the workload's loopback is the loopback: sockets that
// fn makes on its own goroutine (net.Listen, wire.Driver.Listen, a dial to one
// address) are in the workload's network namespace (Nftables). fn must not start
// goroutines that make sockets. It fails when the cage is closed.
func (k *Cage) Inside(fn func() error) error {
	if k.Netns == "" {
		return fn()
	}
	raw, err := k.Namespace()
	if err != nil {
		return err
	}
	return apart(func() error {
		var failed error
		if raw.Control(func(fd uintptr) { failed = unix.Setns(int(fd), unix.CLONE_NEWNET) }) != nil {
			return fmt.Errorf("enter %s: %w", k.Netns, os.ErrClosed)
		}
		if failed != nil {
			return fmt.Errorf("enter %s: %w", k.Netns, failed)
		}
		return fn()
	})
}

// Namespace is the workload's network namespace, for wire.NamespaceDialer; nil
// where that is ours. Its Control fails when the cage is closed.
func (k *Cage) Namespace() (syscall.RawConn, error) {
	if k.netns == nil {
		return nil, nil
	}
	return k.netns.SyscallConn()
}

// Start starts cmd so that its first instruction is captured. Netns takes
// CAP_SYS_ADMIN. Cgroup takes root, or one that was delegated to the caller;
// others are brought in with Adopt before they start anything. It starts on the
// calling goroutine's thread, for Pdeathsig.
func (p Place) Start(cmd *exec.Cmd) error {
	if p.Cgroup != "" {
		fd, err := syscall.Open(p.Cgroup, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cgroup %s: %w", p.Cgroup, err)
		}
		defer syscall.Close(fd)
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	}
	if p.Netns == "" {
		return cmd.Start()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	err = enter(p.Netns)
	if err == nil {
		err = cmd.Start()
	}
	// A thread that stays there is for nobody else.
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// Adopt brings a process into the cage. The sockets that it has stay free; what
// it makes, and what it starts, is captured. EBPF only.
func (k *Cage) Adopt(pid int) error {
	if k.Cgroup == "" {
		return fmt.Errorf("a running process cannot be captured by %s", k.of.method)
	}
	if pid <= 0 { // the kernel takes 0 for us
		return fmt.Errorf("process %d cannot be captured: it cannot be seen from here", pid)
	}
	from, err := cgroupOf(pid)
	if err == nil {
		err = adopt(k.Cgroup, pid)
	}
	if err != nil {
		return fmt.Errorf("process %d to %s: %w", pid, filepath.Base(k.Cgroup), err)
	}
	if from == k.Cgroup { // as a predecessor left it
		return nil
	}
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	if k.adopted == nil {
		k.adopted = map[int]string{}
	}
	k.adopted[pid] = from
	return nil
}
