package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/bench/peer"
)

// mesh is a control plane and two nodes, one with the client's workload and one
// with the service's, started as users start them. Nothing is captured: the
// client knows its proxy's address.
func (b *bench) mesh() error {
	config := filepath.Join(b.dir, "mesh.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("listen: off\nmesh: {}\nservices:\n  bench: {mesh: {port: %d, protocol: http}}\n", b.origin.Port())), 0o600); err != nil {
		return err
	}
	at, err := peer.FreePort()
	if err != nil {
		return err
	}
	socket := filepath.Join(b.dir, "control.sock")
	control := exec.Command(b.program, "control", config, "--listen", at.String(), "--admin", "off", "--control-socket", socket, "--address", "127.0.0.1", "--log-level", "warn")
	if err := b.start(control, b.rest); err != nil {
		return err
	}
	client, err := b.node("client", "127.0.0.1", socket)
	if err != nil {
		return err
	}
	service, err := b.node("service", "127.0.0.2", socket)
	if err != nil {
		return err
	}
	// The service runs already: its workload is a command that does nothing.
	if _, err := b.workload("service", "--service", "bench", "--port", strconv.Itoa(int(b.origin.Port()))+"/http", "--capture", "off"); err != nil {
		return err
	}
	said, err := b.workload("client", "--account", "client", "--capture", "explicit")
	if err != nil {
		return err
	}
	proxy, err := url.Parse(said)
	if err != nil || proxy.User == nil {
		return fmt.Errorf("the client's door is %q: %w", said, err)
	}
	door, err := netip.ParseAddrPort(proxy.Host)
	if err != nil {
		return fmt.Errorf("the client's door: %w", err)
	}
	pass := "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(proxy.User.String())) + "\r\n"
	host := net.JoinHostPort("bench.default.mesh", strconv.Itoa(int(b.origin.Port())))
	return b.add(&way{name: "naru, mTLS", addr: door, host: host, fields: pass, pids: []int{client, service}})
}

// node joins and starts a node, and gives its process.
func (b *bench) node(name, address, socket string) (int, error) {
	var token []byte
	var err error
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		token, err = exec.CommandContext(ctx, b.program, "token", "create", "--node", name, "--any", "--socket", socket).Output()
		cancel()
		if err == nil {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("a token for %s: %w (see %s)", name, err, b.dir)
	}
	cmd := exec.Command(b.program, "node", "--join", strings.TrimSpace(string(token)), "--node", name, "--address", address,
		"--socket", filepath.Join(b.dir, name, "node.sock"), "--capture", "off", "--admin", "off", "--log-level", "warn", "--drain", "1s")
	if err := b.start(cmd, b.cpus); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// workload runs a command that says its proxy's address and waits.
func (b *bench) workload(node string, args ...string) (proxy string, err error) {
	args = append([]string{"exec", "--socket", filepath.Join(b.dir, node, "node.sock"), "--health", "none"}, args...)
	cmd := exec.Command(b.program, append(args, "--", "sh", "-c", "echo proxy $HTTP_PROXY; exec sleep 3600")...)
	said, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := b.start(cmd, b.rest); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the workload at %s: %w (see %s)", node, err, b.dir)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "proxy")), nil
}
