package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killShop is the demo shop on two machines, one of which is its gateway as well.
type killShop struct {
	t       *testing.T
	m       *machines
	run     *running // of the first machine: gateway, control plane and proxy
	bin     string
	all     []*instance
	began   time.Time
	faults  []*fault
	started int
	loads   []*shopLoad
}

// instance is a program of the shop under naru exec.
type instance struct {
	service, name string
	at            *host
	args          []string
	port          string
	exec          *running
	pid           int // of the program
	faulty        bool
}

// secondNode is which of the machines has the proxy that may be killed.
const secondNode = 0

// startShop starts it by the shop's own configuration: of each service that keeps
// nothing two or three instances.
func startShop(t *testing.T, args ...string) *killShop {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(root, "examples/shop/naru.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := &killShop{t: t, m: newMachines(t), bin: t.TempDir(), began: time.Now()}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin+"/", "./examples/shop/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	here, there := s.m.plane, s.m.at[secondNode]
	text := string(config) + "overload: off\n" // a busy machine is no fault of an instance
	if !*long {                                // the tests beside this one may keep the machine busy
		text = regexp.MustCompile(`timeout: \d+s`).ReplaceAllString(text, "timeout: 15s")
	}
	s.run = here.mesh(text, append([]string{"--control-listen", here.addr + ":15012"}, args...)...)
	s.m.join(secondNode, append([]string{"--join", s.m.token("--node", there.name)}, args...)...)
	t.Cleanup(func() {
		for _, i := range s.all {
			_ = syscall.Kill(i.pid, syscall.SIGCONT) // it may have ended
		}
	})
	for _, i := range []*instance{
		{service: "catalog", at: here, port: "9002"},
		{service: "catalog", at: here, port: "9102"},
		{service: "catalog", at: there, port: "9002"},
		{service: "storefront", at: here, port: "9001", args: []string{"-catalog", "http://catalog:9002"}},
		{service: "storefront", at: here, port: "9101", args: []string{"-catalog", "http://catalog:9002"}},
		{service: "storefront", at: there, port: "9001", args: []string{"-catalog", "http://catalog:9002"}},
		{service: "payments", at: here, port: "9004"},
		{service: "payments", at: there, port: "9004"},
		{service: "orders", at: here, port: "9003", args: []string{"-data", here.path("orders.db"), "-catalog", "http://catalog:9002", "-payments", "http://payments:9004"}},
	} {
		s.all = append(s.all, i)
		s.start(i)
	}
	for _, i := range s.all {
		eventually(t, i.name+" serves", func() bool { return s.serves(i) })
	}
	return s
}

// start starts an instance, under a name that none before has had.
func (s *killShop) start(i *instance) {
	s.t.Helper()
	s.started++
	i.name, i.pid = fmt.Sprintf("%s-%d", i.service, s.started), 0
	i.exec = i.at.exec(append([]string{"--service", i.service, "--instance", i.name, "--port", i.port, "--health", "/healthz", "--",
		filepath.Join(s.bin, i.service), "-listen", "127.0.0.1:" + i.port}, i.args...)...)
}

// serves says whether the control plane has the instance as one that serves.
func (s *killShop) serves(i *instance) bool {
	s.t.Helper()
	for _, w := range s.m.plane.status().Workloads {
		if w.Name == "default/"+i.name && w.State == "serving" {
			if i.pid == 0 {
				i.pid = childOf(i.exec.cmd.Process.Pid)
			}
			return i.pid != 0
		}
	}
	return false
}

// childOf finds the process that another has started, 0 where there is none.
func childOf(parent int) int {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID: see proc(5); the name may contain anything.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			return pid
		}
	}
	return 0
}

// ended says whether a process is gone.
func ended(pid int) bool { return syscall.Kill(pid, 0) != nil }

// fault is one thing that goes wrong, and is put right.
type fault struct {
	what  string
	began time.Duration // since the shop's begin
	done  time.Duration // when it was as before; 0: not yet
	heal  func() bool   // called until it is true
}

// harms are what may be done to an instance; each gives what puts it right.
var harms = []struct {
	what string
	do   func(s *killShop, i *instance, r *rand.Rand) (heal func() bool)
}{
	{"kill -9 of", func(s *killShop, i *instance, r *rand.Rand) func() bool {
		return s.again(i, i.pid, syscall.SIGKILL, r)
	}},
	{"SIGSTOP of", func(s *killShop, i *instance, r *rand.Rand) func() bool {
		s.signal(i.pid, syscall.SIGSTOP)
		until := time.Now().Add(between(r, 500*time.Millisecond, 5*time.Second))
		return func() bool {
			if time.Now().Before(until) {
				return false
			}
			s.signal(i.pid, syscall.SIGCONT)
			return true
		}
	}},
	{"SIGTERM of", func(s *killShop, i *instance, r *rand.Rand) func() bool {
		return s.again(i, i.pid, syscall.SIGTERM, r)
	}},
	{"kill -9 of the exec of", func(s *killShop, i *instance, r *rand.Rand) func() bool {
		return s.again(i, i.exec.cmd.Process.Pid, syscall.SIGKILL, r)
	}},
	{"SIGTERM of the exec of", func(s *killShop, i *instance, r *rand.Rand) func() bool {
		return s.again(i, i.exec.cmd.Process.Pid, syscall.SIGTERM, r)
	}},
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

func (s *killShop) signal(pid int, what syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(pid, what); err != nil {
		s.t.Fatalf("%v to %d: %v", what, pid, err)
	}
}

// again signals a process of an instance, and starts the instance again a while
// after its end.
func (s *killShop) again(i *instance, pid int, what syscall.Signal, r *rand.Rand) func() bool {
	s.signal(pid, what)
	away, program := between(r, 0, 2*time.Second), i.pid
	var since time.Time
	back := false
	return func() bool {
		switch {
		case back:
			return s.serves(i)
		case since.IsZero():
			select {
			case <-i.exec.done:
				if ended(program) {
					since = time.Now()
				}
			default:
			}
		case time.Since(since) >= away:
			back = true
			s.start(i)
		}
		return false
	}
}

// killNode ends the proxy of the second machine, whose workloads run on, and
// starts another.
func (s *killShop) killNode(what syscall.Signal, r *rand.Rand) func() bool {
	node, h := s.m.nodes[secondNode], s.m.at[secondNode]
	node.signal(what)
	away := between(r, 0, 2*time.Second)
	var since time.Time
	back := map[*instance]int{}
	for _, i := range s.all {
		if i.at == h {
			back[i] = strings.Count(i.exec.errs.text(), "proxy is back")
		}
	}
	return func() bool {
		select {
		case <-node.done:
		default:
			return false
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < away {
			return false
		}
		if s.m.nodes[secondNode] == node {
			s.m.join(secondNode)
		}
		for i, n := range back {
			if strings.Count(i.exec.errs.text(), "proxy is back") == n || !s.serves(i) {
				return false
			}
		}
		return true
	}
}

// may says whether an instance may be harmed now: another one of its service is
// well.
func (s *killShop) may(i *instance) bool {
	if i.faulty || i.service == "orders" {
		return false
	}
	for _, other := range s.all {
		if other != i && other.service == i.service && !other.faulty {
			return true
		}
	}
	return false
}

// mayNode says whether the second machine may be without its proxy now.
func (s *killShop) mayNode() bool {
	return !slices.ContainsFunc(s.all, func(i *instance) bool { return i.faulty })
}

func (s *killShop) now() time.Duration { return time.Since(s.began) }

func (s *killShop) begin(what string, heal func() bool, harmed ...*instance) {
	f := &fault{what: what, began: s.now()}
	for _, i := range harmed {
		i.faulty = true
	}
	f.heal = func() bool {
		if !heal() {
			return false
		}
		for _, i := range harmed {
			i.faulty = false
		}
		f.done = s.now()
		return true
	}
	s.faults = append(s.faults, f)
}

// harm begins the n-th kind of fault, where that may be now.
func (s *killShop) harm(n int, r *rand.Rand) bool {
	if n >= len(harms) {
		if !s.mayNode() {
			return false
		}
		var there []*instance
		for _, i := range s.all {
			if i.at == s.m.at[secondNode] {
				there = append(there, i)
			}
		}
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[n-len(harms)]
		s.begin(fmt.Sprintf("%v of the second node", sig), s.killNode(sig, r), there...)
		return true
	}
	for range 100 {
		i := s.all[r.IntN(len(s.all))]
		if s.may(i) {
			s.begin(harms[n].what+" "+i.name+" on "+i.at.name, harms[n].do(s, i, r), i)
			return true
		}
	}
	return false
}

// kinds is how many kinds of faults there are: those of instances, and two of a
// node.
var kinds = len(harms) + 2

// kill does every kind of fault once in turn, and then at random until a time is
// over: at most two at once.
func (s *killShop) kill(r *rand.Rand, until time.Time) {
	order := r.Perm(kinds)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var next time.Time
	for {
		<-tick.C
		open := 0
		for _, f := range s.faults {
			if f.done == 0 && !f.heal() {
				open++
			}
		}
		late := time.Now().After(until)
		switch {
		case len(order) == 0 && late && open == 0:
			return
		case len(order) == 0 && late, open > 1, time.Now().Before(next):
		case len(order) > 0:
			if s.harm(order[0], r) {
				order, next = order[1:], time.Now().Add(between(r, 0, time.Second))
			}
		default:
			if s.harm(r.IntN(kinds), r) {
				next = time.Now().Add(between(r, 0, 3*time.Second))
			}
		}
	}
}

// TestLongShopKills has the shop serve steadily while its services, what starts
// them and the proxy of a machine are killed, stopped and ended at random: nobody
// who may ask twice notices, and everything is as before in the end.
func TestLongShopKills(t *testing.T) {
	t.Parallel()
	lasts, workers, every := time.Duration(0), 2, 50*time.Millisecond
	if *long {
		lasts, workers = 10*time.Minute, 4
	}
	seed := uint64(5)
	if text := os.Getenv("NARU_TEST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(seed, seed))
	s := startShop(t, "--access-log", "off")
	for _, k := range shopKinds {
		s.loads = append(s.loads, s.ask(k, workers, every))
	}
	s.more(100)
	before := s.weight()
	s.kill(r, time.Now().Add(lasts))
	s.well()
	for _, l := range s.loads {
		l.stop()
	}
	s.report()
	s.settled()
	if !raceDetector {
		s.bounded(before)
	}
}
