package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// DefaultSocket is where a node's proxy meets the workloads of its machine.
const DefaultSocket = "/run/naru/node.sock"

// Wish is what somebody who starts a workload asks of the node's proxy.
type Wish struct {
	Service   string     `json:"service"`             // its name; "" for a client that serves nothing
	Namespace string     `json:"namespace,omitempty"` // "" is model.DefaultNamespace
	Account   string     `json:"account,omitempty"`   // the last part of its identity; "" is Service
	Instance  string     `json:"instance,omitempty"`  // "" is made of the account and a number
	Ports     []WishPort `json:"ports,omitempty"`
	// Capture is "auto" (""), "transparent", "explicit" or "off".
	Capture string `json:"capture,omitempty"`
	// Health is a path that is asked for over HTTP, "tcp" ("") for a
	// connection, or "none".
	Health string `json:"health,omitempty"`
	Weight int    `json:"weight,omitempty"`
	// Reach are services that it wants local ports for.
	Reach []WishReach `json:"reach,omitempty"`
	// Within is how long the proxy may take until it is ready, after which it says
	// what is missing; 0 is as long as it takes.
	Within time.Duration `json:"within,omitempty"`
	// Door is that of About, of a workload that runs already and whose proxy has
	// begun anew: it knows no other.
	Door *Door `json:"door,omitempty"`
	// Running is About.Capture of a workload whose command runs already, under
	// a proxy that has ended; "" of a new one.
	Running string `json:"running,omitempty"`
}

// Door is where a workload that is not captured meets its proxy.
type Door struct {
	Port uint16 `json:"port"` // on 127.0.0.1
	Pass string `json:"pass"`
}

// WishReach is a local port that leads to one service, for programs that look
// at no HTTP proxy.
type WishReach struct {
	Name  string `json:"name"` // of the service: "db", "db.shop", or another that it has
	Port  uint16 `json:"port"`
	Local uint16 `json:"local,omitempty"` // on 127.0.0.1; 0 is any
}

// WishPort is a port that the workload serves.
type WishPort struct {
	Service  string `json:"service,omitempty"` // "" is Wish.Service
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol,omitempty"` // model.AppProtocol
}

// Caller is the process that asks, as the kernel tells it.
type Caller = identity.Process

// Workloads is who serves the workloads of this machine: app.
type Workloads interface {
	// Attach makes a workload known and gets it an identity. What it returns is
	// the caller's until Leave. The process that asks, and what it starts, is
	// captured when Attach returns. ctx ends with the caller.
	Attach(ctx context.Context, wish *Wish, by Caller) (Attached, error)
	// Renew replaces the certificates and keys of all workloads now, and gives
	// how many. ctx ends with the caller.
	Renew(ctx context.Context, by Caller) (int, error)
}

// Attached is a workload that is served.
type Attached interface {
	// About is what the workload is told.
	About() About
	// Ready waits until what it sends is carried: its identity is there and its
	// proxy listens.
	Ready(ctx context.Context) error
	// Started says that the workload runs; from now on its health is asked for.
	Started()
	// Drain takes it out of service and waits until those who call it know, or
	// ctx ends.
	Drain(ctx context.Context) error
	// Leave ends it. It comes once, last.
	Leave()
}

// About a workload.
type About struct {
	Name     string   `json:"name"`     // "shop/orders-1"
	Identity string   `json:"identity"` // "spiffe://..."
	Capture  string   `json:"capture"`  // "ebpf", "nftables", "explicit" or "off"
	Env      []string `json:"env"`      // to be set in the workload
	// Netns is the file of the network namespace that it is to be started in;
	// "" is that of who asks.
	Netns string   `json:"netns,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Reach is that of the Wish, with all local ports. Door is nil where the
	// workload is captured.
	Reach []WishReach `json:"reach,omitempty"`
	Door  *Door       `json:"door,omitempty"`
}

// message is a line of the conversation: one field is set.
type message struct {
	Attach  *Wish  `json:"attach,omitempty"`  // first, of who asks
	Renew   bool   `json:"renew,omitempty"`   // or this, and nothing more
	Renewed *int   `json:"renewed,omitempty"` // the answer
	About   *About `json:"about,omitempty"`   // the answer to Attach
	Ready   bool   `json:"ready,omitempty"`   // then
	Started bool   `json:"started,omitempty"` // of who asks
	Drain   bool   `json:"drain,omitempty"`   // of who asks
	Drained bool   `json:"drained,omitempty"` // the answer
	Error   string `json:"error,omitempty"`
}

// WorkloadServer answers on a Unix socket. A conversation is a line of JSON
// each; its end is the workload's end, however it came about.
type WorkloadServer struct {
	ln      *net.UnixListener
	serves  Workloads
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	open map[uint32]int // conversations by user
}

const (
	// mostConversations is of a user who is not root: the process's files are
	// for all.
	mostConversations = 200
	// attachTime is how long one who has connected may take to say what for.
	attachTime = 10 * time.Second
)

// enter counts a conversation of a user, and says whether there may be one more.
func (s *WorkloadServer) enter(uid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uid != 0 && s.open[uid] >= mostConversations {
		return false
	}
	s.open[uid]++
	return true
}

func (s *WorkloadServer) leave(uid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[uid]--; s.open[uid] == 0 {
		delete(s.open, uid)
	}
}

// ownFolder makes the folder of a socket where there is none, and refuses one
// into which others may put something that is taken for us.
func ownFolder(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	_, err := identity.Keepers(filepath.Dir(path))
	return err
}

// ListenWorkloads binds a socket. Every user of the machine may connect: what
// one may ask for is decided by who it is.
func ListenWorkloads(path string, serves Workloads, log *slog.Logger) (*WorkloadServer, error) {
	if err := ownFolder(path); err != nil {
		return nil, fmt.Errorf("node socket: %w (--socket PATH takes another)", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("node socket %s: another naru serves there (--socket PATH takes another)", path)
	}
	_ = os.Remove(path) // of one that is gone
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("node socket: %w (--socket PATH takes another)", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		ln.Close()
		return nil, fmt.Errorf("node socket: %w", err)
	}
	s := &WorkloadServer{ln: ln, serves: serves, log: log, open: map[uint32]int{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Serve answers until Close.
func (s *WorkloadServer) Serve() {
	for {
		conn, err := s.ln.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			s.log.Error("node socket", "error", err)
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s.running.Go(func() { s.converse(conn) })
	}
}

// Close ends every conversation, and so every workload, and waits for them.
func (s *WorkloadServer) Close() {
	s.cancel()
	s.ln.Close()
	s.running.Wait()
}

// converse is one workload's life.
func (s *WorkloadServer) converse(conn *net.UnixConn) {
	defer conn.Close()
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("a workload's conversation failed because of a defect", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	w := &lines{conn: conn}
	by, err := identity.PeerProcess(conn)
	if err != nil {
		_ = w.say(message{Error: err.Error()})
		return
	}
	if !s.enter(by.UID) {
		_ = w.say(message{Error: fmt.Sprintf("user %d has %d conversations with the proxy, which is the most", by.UID, mostConversations)})
		return
	}
	defer s.leave(by.UID)
	in := bufio.NewReader(io.LimitReader(conn, 1<<20))
	_ = conn.SetReadDeadline(time.Now().Add(attachTime))
	m, err := readMessage(in)
	if err != nil || m.Attach == nil && !m.Renew {
		_ = w.say(message{Error: "the first line must be attach or renew"})
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if m.Renew {
		s.renew(ctx, w, by)
		return
	}
	attached, err := s.serves.Attach(ctx, m.Attach, by)
	if err != nil {
		s.log.Warn("a workload was refused", "service", m.Attach.Service, "pid", by.PID, "uid", by.UID, "error", err)
		_ = w.say(message{Error: err.Error()})
		return
	}
	defer attached.Leave()
	about := attached.About()
	if w.say(message{About: &about}) != nil {
		return
	}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() {
		ready := ctx
		if m.Attach.Within > 0 {
			var over context.CancelFunc
			ready, over = context.WithTimeout(ctx, m.Attach.Within)
			defer over()
		}
		if err := attached.Ready(ready); err != nil {
			_ = w.say(message{Error: err.Error()})
		} else {
			_ = w.say(message{Ready: true})
		}
	})
	for {
		m, err := readMessage(in)
		switch {
		case err != nil:
			return
		case m.Started:
			attached.Started()
		case m.Drain:
			tasks.Go(func() {
				if err := attached.Drain(ctx); err != nil {
					_ = w.say(message{Error: err.Error()})
				} else {
					_ = w.say(message{Drained: true})
				}
			})
		}
	}
}

// renewTime bounds the wait for an authority.
const renewTime = 30 * time.Second

func (s *WorkloadServer) renew(ctx context.Context, w *lines, by Caller) {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	n, err := s.serves.Renew(ctx, by)
	if err != nil {
		_ = w.say(message{Error: err.Error()})
		return
	}
	_ = w.say(message{Renewed: &n})
}

// lines writes messages, from any goroutine.
type lines struct {
	mu   sync.Mutex
	conn net.Conn
}

func (w *lines) say(m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, err = w.conn.Write(append(text, '\n'))
	return err
}

func readMessage(in *bufio.Reader) (m message, err error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(line, &m)
}
