package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/naru-mesh/naru/bench/peer"
)

// What enter tells the program that it becomes.
const (
	insideVariable = "NARU_FAULTS_INSIDE" // "yes", or why there is no namespace
	cpusVariable   = "NARU_FAULTS_CPUS"   // of the proxies, and of all else: "0;1,2"
)

// priority is ours, before what others run.
const priority = -10

// enter makes this process the same program with args, in a network namespace
// of its own where the machine allows that, on the processors that are not the
// proxies'. It returns only what went wrong.
func enter(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // exec keeps the namespace and processors of the thread
	inside := "yes"
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		inside = err.Error()
	}
	cpus, rest := peer.Halves()
	if err := rest.Pin(); err != nil {
		return err
	}
	// Other programs of the machine would be seen in every 99th percentile.
	// Where this is not allowed they are.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, priority)
	env := append(os.Environ(), insideVariable+"="+inside, cpusVariable+"="+written(cpus)+";"+written(rest))
	return syscall.Exec(self, append([]string{self}, args...), env)
}

func written(cpus peer.CPUs) string {
	var list []string
	for _, c := range cpus {
		list = append(list, strconv.Itoa(c))
	}
	return strings.Join(list, ",")
}

func readCPUs(text string) (cpus peer.CPUs) {
	for _, one := range strings.Split(text, ",") {
		if n, err := strconv.Atoi(one); err == nil {
			cpus = append(cpus, n)
		}
	}
	return cpus
}

// inside says whether this process is what enter made, and if it has no
// network of its own, why. cpus are those of the proxies, rest all others.
func inside() (entered bool, lacks string, cpus, rest peer.CPUs) {
	said := os.Getenv(insideVariable)
	first, second, _ := strings.Cut(os.Getenv(cpusVariable), ";")
	cpus, rest = readCPUs(first), readCPUs(second)
	if said != "yes" {
		return said != "", said, cpus, rest
	}
	if err := loopback(); err != nil {
		lacks = err.Error()
	}
	return true, lacks, cpus, rest
}

// loopback brings up the namespace's only interface.
func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// network changes what happens to packets of one site, by a table of its own.
type network struct {
	table string
	made  bool
	lost  uint64 // packets that tables before this one dropped
}

// drop drops packets to and from addresses: every one, or by chance one in so
// many.
func (n *network) drop(oneIn uint32, addrs ...netip.Addr) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	t := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: n.table})
	// Packets of the loopback pass both hooks; one is enough, or the share
	// would be twice what it is said to be.
	c := conn.AddChain(&nftables.Chain{Name: "lose", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
	const source, destination = 12, 16 // offsets in the IPv4 header
	for _, a := range addrs {
		for _, offset := range []uint32{source, destination} {
			rule := []expr.Any{
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
			}
			if oneIn > 1 {
				rule = append(rule, &expr.Numgen{Register: 1, Modulus: oneIn, Type: unix.NFT_NG_RANDOM},
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)})
			}
			conn.AddRule(&nftables.Rule{Table: t, Chain: c, Exprs: append(rule, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	n.made = true
	return nil
}

// heal lets all packets pass again.
func (n *network) heal() error {
	if !n.made {
		return nil
	}
	n.lost = n.dropped()
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	conn.DelTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: n.table})
	n.made = false
	return conn.Flush()
}

// dropped counts the packets that were dropped.
func (n *network) dropped() uint64 {
	sum := n.lost
	if !n.made {
		return sum
	}
	conn, err := nftables.New()
	if err != nil {
		return sum
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: n.table}
	rules, _ := conn.GetRules(t, &nftables.Chain{Name: "lose", Table: t})
	for _, r := range rules {
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				sum += c.Packets
			}
		}
	}
	return sum
}

// slowPaths is a Toxiproxy. It delays what passes, because not every kernel has
// netem.
type slowPaths struct{ server *toxiproxy.ApiServer }

func newSlowPaths() *slowPaths {
	return &slowPaths{toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// slowPath leads from one address to another.
type slowPath struct {
	of    *slowPaths
	proxy *toxiproxy.Proxy
}

// open opens a path without a delay.
func (s *slowPaths) open(name string, from, to netip.AddrPort) (*slowPath, error) {
	p := &slowPath{s, toxiproxy.NewProxy(s.server, name, from.String(), to.String())}
	return p, s.server.Collection.Add(p.proxy, true)
}

// delay adds milliseconds in each direction.
func (p *slowPath) delay(ms int) error {
	var errs []error
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"name": %q, "type": "latency", "stream": %q, "attributes": {"latency": %d}}`, stream, stream, ms)
		_, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// heal takes the delay away.
func (p *slowPath) heal() { p.proxy.Toxics.ResetToxics(context.Background()) }

func (p *slowPath) close() { _ = p.of.server.Collection.Remove(p.proxy.Name) }
