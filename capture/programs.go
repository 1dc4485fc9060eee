package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// programs is the machinery of EBPF. Its folder in bpffs holds the maps and
// the sk_lookup link, and below w/ a folder for each cage with a link for each
// hook and a symbolic link, "cgroup", to its cgroup.
type programs struct {
	log    *slog.Logger
	parent string // cgroup of the cages
	shared bool   // others may have cgroups there too
	self   string // cgroup of this process
	home   string // where it was before
	pins   string
	mark   uint32
	maps   map[string]*ebpf.Map
	own    []link.Link // on self; not pinned
	lookup link.Link
}

// hook is a program and where it is attached.
type hook struct {
	name string
	kind ebpf.ProgramType
	at   ebpf.AttachType
	ins  asm.Instructions
}

// workloadHooks are in the order in which they are attached: what is redirected
// is tracked by then.
func workloadHooks(opt *WorkloadOptions, number uint32) []hook {
	addr := func(name string, at ebpf.AttachType, ins asm.Instructions) hook {
		return hook{name, ebpf.CGroupSockAddr, at, ins}
	}
	all := []hook{
		{"track", ebpf.SockOps, ebpf.AttachCGroupSockOps, trackWorkload(number)},
		addr("peer4", ebpf.AttachCgroupInet4GetPeername, restore(opt, false, false)),
		addr("peer6", ebpf.AttachCgroupInet6GetPeername, restore(opt, true, false)),
	}
	if opt.DNS.IsValid() || opt.DNS6.IsValid() {
		all = append(all,
			addr("receive4", ebpf.AttachCGroupUDP4Recvmsg, restore(opt, false, true)),
			addr("receive6", ebpf.AttachCGroupUDP6Recvmsg, restore(opt, true, true)))
	}
	return append(all,
		addr("send4", ebpf.AttachCGroupUDP4Sendmsg, redirect(opt, false, true)),
		addr("send6", ebpf.AttachCGroupUDP6Sendmsg, redirect(opt, true, true)),
		addr("connect4", ebpf.AttachCGroupInet4Connect, redirect(opt, false, false)),
		addr("connect6", ebpf.AttachCGroupInet6Connect, redirect(opt, true, false)))
}

func proxyHooks(mark uint32) []hook {
	return []hook{
		{"track", ebpf.SockOps, ebpf.AttachCGroupSockOps, trackProxy(mark)},
		{"answer", ebpf.CGroupSockopt, ebpf.AttachCGroupGetsockopt, answer()},
	}
}

func openPrograms(opt *Options) (machinery, error) {
	root, err := cgroup2()
	if err != nil {
		return nil, err
	}
	p := &programs{log: opt.Log, parent: opt.Parent, shared: opt.Parent != "", self: opt.Self, mark: opt.Mark}
	if p.parent == "" {
		p.parent = filepath.Join(root, opt.Scope+".slice")
	}
	if p.home, err = ownCgroup(root); err != nil {
		return nil, err
	}
	if p.self == "" {
		if p.self = p.home; filepath.Base(p.home) != opt.Scope+"-proxy" {
			p.self = filepath.Join(p.home, opt.Scope+"-proxy")
		}
	}
	// Before 5.11 maps were counted as locked memory; without the right to
	// raise that limit loading says so.
	_ = rlimit.RemoveMemlock()
	fs, err := bpffs(opt.BPFFS)
	if err != nil {
		return nil, err
	}
	p.pins = filepath.Join(fs, opt.Scope)
	if err := os.MkdirAll(filepath.Join(p.pins, "w"), 0o700); err != nil {
		return nil, err // nothing is there to be removed
	}
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.close(len(p.waiting()) == 0))
	}
	return p, nil
}

// bpffs finds the file system for pins, or mounts it.
func bpffs(at string) (string, error) {
	if at != "" {
		return at, nil
	}
	at, err := mounted("bpf")
	if err != nil || at != "" {
		return at, err
	}
	const usual = "/sys/fs/bpf"
	if err := syscall.Mount("bpf", usual, "bpf", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "mode=0700"); err != nil {
		return "", fmt.Errorf("no bpf file system is mounted, and mounting it on %s failed: %w", usual, err)
	}
	return usual, nil
}

func (p *programs) open() error {
	for _, dir := range []string{p.parent, p.self} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := p.openMaps(); err != nil {
		return err
	}
	hooks := append(proxyHooks(p.mark), hook{"inbound", ebpf.SkLookup, ebpf.AttachSkLookup, inbound()})
	progs, err := p.load(hooks)
	if err != nil {
		return err
	}
	defer closeAll(progs)
	if err := p.openLookup(progs["inbound"]); err != nil {
		return fmt.Errorf("attach sk_lookup: %w", err)
	}
	for _, h := range hooks[:2] {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: p.self, Attach: h.at, Program: progs[h.name]})
		if err != nil {
			return fmt.Errorf("attach %s to %s: %w", h.name, p.self, err)
		}
		p.own = append(p.own, l)
	}
	return join(p.self)
}

// openMaps takes over the maps that are pinned, where they still fit.
func (p *programs) openMaps() error {
	p.maps = map[string]*ebpf.Map{}
	specs := mapSpecs()
	for _, name := range sortedKeys(specs) {
		pin := filepath.Join(p.pins, name)
		m, err := ebpf.LoadPinnedMap(pin, nil)
		if err == nil && specs[name].Compatible(m) != nil {
			m.Close()
			err = os.Remove(pin)
			m = nil
		}
		if m == nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			specs[name].Name = name
			if m, err = ebpf.NewMap(specs[name]); err == nil {
				err = m.Pin(pin)
			}
		}
		if err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
		p.maps[name] = m
	}
	return nil
}

// load gives the kernel the programs, which use our maps.
func (p *programs) load(hooks []hook) (map[string]*ebpf.Program, error) {
	spec := &ebpf.CollectionSpec{Maps: mapSpecs(), Programs: map[string]*ebpf.ProgramSpec{}}
	for _, h := range hooks {
		spec.Programs[h.name] = &ebpf.ProgramSpec{Name: "naru_" + h.name, Type: h.kind, AttachType: h.at, Instructions: h.ins, License: "GPL"}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: p.maps})
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	progs := coll.Programs
	coll.Programs = nil
	coll.Close() // its maps are duplicates
	return progs, nil
}

func closeAll(progs map[string]*ebpf.Program) {
	for _, prog := range progs {
		prog.Close()
	}
}

// openLookup attaches the inbound program to this network namespace, or
// replaces the one that a predecessor left there.
func (p *programs) openLookup(prog *ebpf.Program) error {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer ns.Close()
	pin := filepath.Join(p.pins, "lookup")
	if l, err := link.LoadPinnedLink(pin, nil); err == nil {
		if here(l, ns) && l.Update(prog) == nil {
			p.lookup = l
			return nil
		}
		l.Close()
	}
	if err := os.Remove(pin); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := link.AttachNetNs(int(ns.Fd()), prog)
	if err != nil {
		return err
	}
	p.lookup = l
	return l.Pin(pin)
}

func here(l link.Link, ns *os.File) bool {
	info, err := l.Info()
	if err != nil || info.NetNs() == nil {
		return false
	}
	stat, err := ns.Stat()
	return err == nil && uint64(info.NetNs().NetnsInode) == stat.Sys().(*syscall.Stat_t).Ino
}

func (p *programs) folder(name string) string { return filepath.Join(p.pins, "w", name) }

func (p *programs) workload(k *Cage, opt *WorkloadOptions) error {
	name := escape(opt.Name)
	k.Cgroup = filepath.Join(p.parent, name)
	if err := os.MkdirAll(k.Cgroup, 0o755); err != nil {
		return err
	}
	folder := p.folder(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	number, err := p.enroll(name)
	if err != nil {
		return err
	}
	hooks := workloadHooks(opt, number)
	progs, err := p.load(hooks)
	if err != nil {
		return err
	}
	defer closeAll(progs)
	if err := os.Symlink(k.Cgroup, filepath.Join(folder, "cgroup")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := p.serve(number, opt); err != nil {
		return err
	}
	for _, h := range hooks {
		if err := attach(k.Cgroup, filepath.Join(folder, h.name), h.at, progs[h.name]); err != nil {
			return fmt.Errorf("attach %s: %w", h.name, err)
		}
	}
	// What the cage had before and has no more.
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if progs[e.Name()] == nil && e.Name() != "cgroup" && e.Name() != numberLink {
			err = errors.Join(err, os.Remove(filepath.Join(folder, e.Name())))
		}
	}
	return err
}

// attach replaces the program that is pinned, in one step, or attaches and pins
// a new one. A pin whose cgroup is gone holds nothing, and is replaced.
func attach(cgroup, pin string, at ebpf.AttachType, prog *ebpf.Program) error {
	if l, err := link.LoadPinnedLink(pin, nil); err == nil {
		err = l.Update(prog)
		l.Close()
		if err == nil {
			return nil
		}
		if err := os.Remove(pin); err != nil {
			return err
		}
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: prog})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

func (p *programs) release(k *Cage) error { return p.remove(escape(k.name)) }

// remove unpins the links of a cage, the redirecting ones first, frees its
// ports, and removes the cgroup when it is empty.
func (p *programs) remove(name string) error {
	folder := p.folder(name)
	target, _ := os.Readlink(filepath.Join(folder, "cgroup"))
	number, numbered := p.number(name)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return order(a.Name()) - order(b.Name()) })
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(folder, e.Name())))
	}
	if len(entries) > 0 {
		err = errors.Join(err, os.Remove(folder))
	}
	if numbered { // else it has served nothing, or Sweep finds it
		err = errors.Join(err, p.dropPorts(func(_, owner uint32) bool { return owner == number || owner == doorOf(number) }))
	}
	if target != "" && !populated(target) {
		err = errors.Join(err, removeCgroup(target))
	}
	return err
}

// order in which the links of a cage are removed.
func order(name string) int {
	switch name {
	case "connect4", "connect6":
		return 0
	case "send4", "send6":
		return 1
	}
	return 2
}

func (p *programs) waiting() []string {
	entries, _ := os.ReadDir(filepath.Join(p.pins, "w"))
	var names []string
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(p.folder(e.Name()), "cgroup")); err == nil && populated(target) {
			names = append(names, e.Name())
		}
	}
	return names
}

func (p *programs) sweep(keep map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(p.pins, "w"))
	owners := map[uint32]bool{}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(p.folder(e.Name()), "cgroup"))
		if keep[e.Name()] || target != "" && populated(target) {
			number := p.assumed(e.Name())
			owners[number], owners[doorOf(number)], owners[namesOwner] = true, true, true
			continue
		}
		err = errors.Join(err, p.remove(e.Name()))
	}
	err = errors.Join(err, p.dropPorts(func(_, owner uint32) bool { return !owners[owner] }))
	if !p.shared {
		// Cgroups that were not empty yet when their cage was taken away.
		dirs, _ := os.ReadDir(p.parent)
		for _, d := range dirs {
			if dir := filepath.Join(p.parent, d.Name()); d.IsDir() && !keep[d.Name()] && !populated(dir) {
				err = errors.Join(err, removeCgroup(dir))
			}
		}
	}
	return err
}

// vacate removes the cgroups of cages that were taken away before they were
// empty. Whose last process is just ending is waited for.
func (p *programs) vacate() {
	dirs, _ := os.ReadDir(p.parent)
	for _, d := range dirs {
		dir := filepath.Join(p.parent, d.Name())
		for end := time.Now().Add(exiting); d.IsDir() && dying(dir) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if d.IsDir() && !populated(dir) {
			_ = removeCgroup(dir)
		}
	}
}

func (p *programs) close(all bool) error {
	var err error
	if all {
		entries, _ := os.ReadDir(filepath.Join(p.pins, "w"))
		for _, e := range entries {
			err = errors.Join(err, p.remove(e.Name()))
		}
		if p.lookup != nil {
			err = errors.Join(err, os.Remove(filepath.Join(p.pins, "lookup")))
		}
		for name := range p.maps {
			err = errors.Join(err, os.Remove(filepath.Join(p.pins, name)))
		}
		err = errors.Join(err, os.Remove(filepath.Join(p.pins, "w")), os.Remove(p.pins))
		if !p.shared {
			p.vacate()
		}
		if !populated(p.parent) {
			_ = os.Remove(p.parent) // it may hold what others made
		}
	}
	for _, l := range p.own {
		err = errors.Join(err, l.Close())
	}
	if p.lookup != nil {
		err = errors.Join(err, p.lookup.Close())
	}
	for _, m := range p.maps {
		err = errors.Join(err, m.Close())
	}
	if p.self != p.home {
		if len(p.own) > 0 {
			err = errors.Join(err, join(p.home))
		}
		if !populated(p.self) {
			_ = os.Remove(p.self)
		}
	}
	p.own, p.lookup, p.maps = nil, nil, nil
	return err
}

func sortedKeys[K string | uint32, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
