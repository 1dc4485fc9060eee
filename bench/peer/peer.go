package peer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/naru-mesh/naru/bench/cost"
	"github.com/naru-mesh/naru/test/freeport"
)

// Job is what a proxy is to do.
type Job struct {
	Dir           string // for the configuration
	Plain, Secure netip.AddrPort
	Streams       netip.AddrPort // HTTP/2 in plain text
	Pipe          netip.AddrPort // connections, unread, to Origin
	Origin        netip.AddrPort
	Calls         netip.AddrPort // the origin's gRPC, below CallPrefix
	Cert          *Certificate
	Host          string         // the name of Secure
	Admin         netip.AddrPort // naru's, which it chooses itself
	Conns         int            // that must be possible, each of them with one to the service
	Routes        int            // naru's; the last of them, for everything, not counted
	Wide          bool           // on all processors
	AccessLog     bool           // naru's, as JSON into a file
	Short         bool           // naru's configuration in the short form, not as Gateway API
	PerFile       int            // naru's: routes in one file; 0 is all of them
}

// CallPrefix is the path below which requests are gRPC calls.
const CallPrefix = "/bench.Bench/"

// Kind is a product.
type Kind struct {
	Name string
	// command writes the configuration and says how to start it.
	command func(program string, j *Job) (*exec.Cmd, error)
	version func(program string) string
	program string
	// pipes says whether it passes connections on unread.
	pipes func() bool
}

// Pipes says whether the product serves Job.Pipe as it is installed.
func (k *Kind) Pipes() bool { return k.pipes == nil || k.pipes() }

// Version is the product's, "1.22.1".
func (k *Kind) Version() string {
	if k.version == nil {
		return ""
	}
	return regexp.MustCompile(`\d+\.\d+(\.\d+)?`).FindString(k.version(k.program))
}

// Find gives the products that are installed, in the order of the report, and
// the names of those that are not. naru is the program to compare.
func Find(naru string) (found []*Kind, missing []string) {
	found = append(found, &Kind{Name: "naru", command: startNaru, program: naru})
	for _, k := range []*Kind{
		{Name: "nginx", command: startNginx, version: func(p string) string { return version(p, "-v") }, pipes: func() bool { return nginxStream() != "" }},
		{Name: "haproxy", command: startHAProxy, version: func(p string) string { return version(p, "-v") }},
		{Name: "caddy", command: startCaddy, version: func(p string) string { return version(p, "version") }, pipes: func() bool { return false }},
		{Name: "envoy", command: startEnvoy, version: func(p string) string {
			return regexp.MustCompile(`/\d+\.\d+\.\d+/`).FindString(version(p, "--version"))
		}},
	} {
		path := ""
		for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
			if p, err := exec.LookPath(dir + k.Name); err == nil && path == "" {
				path = p
			}
		}
		if path == "" {
			missing = append(missing, k.Name)
			continue
		}
		k.program = path
		found = append(found, k)
	}
	return found, missing
}

// Before is another build of naru, to see what a change costs.
func Before(naru string) *Kind { return &Kind{Name: "before", command: startNaru, program: naru} }

// Peer is a proxy that runs.
type Peer struct {
	*Kind
	Job  *Job
	Pids []int // the process and what it has started
	// Ready is the time from exec to the first answer.
	Ready time.Duration
	cmd   *exec.Cmd
	said  *tail
}

// readyTime bounds a start.
const readyTime = 60 * time.Second

// Start starts a product and waits until it answers path with 200.
func (k *Kind) Start(s *Starter, cpus CPUs, j Job, path string) (*Peer, error) {
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return nil, err
	}
	cmd, err := k.command(k.program, &j)
	if err != nil {
		return nil, err
	}
	p := &Peer{Kind: k, Job: &j, cmd: cmd, said: &tail{}}
	cmd.Dir, cmd.Stderr = j.Dir, p.said
	if cmd.Stdout == nil {
		cmd.Stdout = p.said
	}
	cmd.WaitDelay = time.Second
	begin := time.Now()
	if err := s.Start(cmd, cpus); err != nil {
		return nil, err
	}
	for !p.answers(path) {
		switch {
		case time.Since(begin) > readyTime:
			err = errors.New("it does not answer")
		case !alive(cmd.Process.Pid):
			err = errors.New("it ended")
		}
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("%s: %w: %s", k.Name, err, bytes.TrimSpace(p.said.b))
		}
		time.Sleep(500 * time.Microsecond)
	}
	p.Ready = time.Since(begin)
	p.Pids = cost.Tree(cmd.Process.Pid)
	return p, nil
}

// alive says whether a child runs: a zombie does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	i := bytes.LastIndexByte(b, ')')
	return i+2 < len(b) && b[i+2] != 'Z'
}

// answers asks once, on a connection of its own.
func (p *Peer) answers(path string) bool {
	status, err := Get(p.Job.Plain, p.Job.Host, path)
	return err == nil && status == http.StatusOK
}

// Get asks for a path and gives the status.
func Get(addr netip.AddrPort, host, path string, fields ...string) (int, error) {
	c, err := net.DialTimeout("tcp", addr.String(), time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", path, host, strings.Join(fields, "")); err != nil {
		return 0, err
	}
	var line [12]byte
	n := 0
	for n < len(line) {
		m, err := c.Read(line[n:])
		if n += m; err != nil {
			return 0, err
		}
	}
	status := 0
	_, err = fmt.Sscanf(string(line[:]), "HTTP/1.1 %d", &status)
	return status, err
}

// CheckTLS asks on the TLS address.
func (p *Peer) CheckTLS() error {
	c, err := tls.Dial("tcp", p.Job.Secure.String(), &tls.Config{ServerName: p.Job.Host, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	return c.Close()
}

// Stop ends it.
func (p *Peer) Stop() { Stop(p.cmd) }

// FreePort gives an address on loopback that is this process's until it ends,
// below those that the kernel gives to the thousands of connections of a run.
func FreePort() (netip.AddrPort, error) {
	at, _, err := freeport.Take(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	return at, err
}

// path is a file of the Job.
func (j *Job) path(name string) string { return filepath.Join(j.Dir, name) }
