package capture

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// Finding is one thing that a Method needs, and whether it is here.
type Finding struct {
	Method Method `json:"method"`
	Needs  string `json:"needs"`
	// Why it is not to be had; "" when it is.
	Why string `json:"why,omitempty"`
}

// Check looks for what each method needs, and changes nothing that lasts.
func Check() []Finding {
	var all []Finding
	add := func(m Method, needs string, err error) {
		f := Finding{Method: m, Needs: needs}
		if err != nil {
			f.Why = err.Error()
		}
		all = append(all, f)
	}
	add(EBPF, "a cgroup2 hierarchy where cgroups can be made", checkCgroup())
	add(EBPF, "a bpf file system for pins", checkBPFFS())
	add(EBPF, "programs on cgroups (CAP_BPF, CAP_NET_ADMIN, Linux 5.15)", checkPrograms())
	add(EBPF, "sk_lookup for inbound connections (Linux 5.9)", named(features.HaveProgramType(ebpf.SkLookup)))
	add(Nftables, "network namespaces and nftables with NAT (CAP_SYS_ADMIN, CAP_NET_ADMIN)", probeNftables())
	add(Explicit, "nothing", nil)
	return all
}

func checkCgroup() error {
	root, err := cgroup2()
	if err != nil {
		return err
	}
	if err := unix.Access(root, unix.W_OK); err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	_, err = ownCgroup(root)
	return err
}

func checkBPFFS() error {
	at, err := mounted("bpf")
	switch {
	case err != nil:
		return err
	case at != "":
		if err := unix.Access(at, unix.W_OK); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return nil
	case os.Geteuid() != 0:
		return errors.New("none is mounted, and only root can mount it")
	}
	if _, err := os.Stat("/sys/fs/bpf"); err != nil {
		return fmt.Errorf("none is mounted, and there is no place for it: %w", err)
	}
	return nil
}

// checkPrograms loads a program of the kind that needs the newest kernel.
func checkPrograms() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "naru_check", Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCgroupInet6GetPeername,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}, License: "GPL"})
	if err != nil {
		return named(err)
	}
	return p.Close()
}

// named says what lacks where the kernel only says no.
func named(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: the process lacks CAP_BPF or CAP_NET_ADMIN", err)
	}
	return err
}
