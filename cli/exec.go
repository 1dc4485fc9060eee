package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/app"
)

// execution is what naru exec was told.
type execution struct {
	wish   admin.Wish
	socket string
	ports  []string
	reach  []string
	wait   time.Duration // for the node's proxy
	listen time.Duration // of the command, before it is warned
	drain  time.Duration
	grace  time.Duration
	level  string
	json   bool
}

func newExec() *cobra.Command {
	var e execution
	c := &cobra.Command{
		Use:   "exec [--service NAME --port PORT] -- COMMAND [ARG...]",
		Short: "Run a command as a workload of the mesh",
		Long: `exec runs one workload: it has this machine's proxy (naru node, or naru run
where that serves a mesh) make it known as an instance of a service, waits until
its traffic is carried, and starts the command. What the command connects to
goes out with the workload's identity; who calls the service reaches it by
mutual TLS.

Signals are passed on. On SIGTERM the workload first leaves its service, so that
nobody sends it anything new, and is told then. When the command ends so does
the workload, and exec with the command's exit status (128 and the signal's
number where a signal ended it). As of a shell it is 127 where the command is not
found, and 126 where it is there and cannot be run; 1 is of exec itself, 2 a
mistake in its flags.

A command that does not listen on its --port is warned of, once, with what it
listens on instead; and it is said when it does.

Without --service the command only calls others: its identity is that of
--account.

Where its connections are not captured, HTTP_PROXY and HTTPS_PROXY lead HTTP
clients to the mesh. For others --reach opens a port on 127.0.0.1 that leads to
one service and that nobody but the command may use; where it is stands in
NARU_REACH_ and the service's name, as 127.0.0.1:15432.`,
		Example: `  naru exec --service orders --port 9002 -- ./orders
  naru exec --service db --port 5432/tcp -- postgres -D data
  naru exec --account report --reach db:5432=15432 -- psql -h 127.0.0.1 -p 15432
  naru exec --account nightly -- ./report --day yesterday`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage{errors.New("no command: naru exec --service NAME --port PORT -- COMMAND")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.complete(); err != nil {
				return usage{err}
			}
			log, err := logger(cmd.ErrOrStderr(), e.level, e.json)
			if err != nil {
				return err
			}
			return e.run(cmd, args, log)
		},
	}
	c.Flags().SetInterspersed(false)
	f := c.Flags()
	f.StringVar(&e.wish.Service, "service", "", "the `name` of the service that the command is an instance of")
	f.StringVar(&e.wish.Namespace, "namespace", "", "the service's `namespace` (default \"default\")")
	f.StringVar(&e.wish.Account, "account", "", "the last part of its identity (default: the service's name)")
	f.StringVar(&e.wish.Instance, "instance", "", "this instance's `name` (default: made up)")
	f.StringArrayVar(&e.ports, "port", nil, "a `port` that it serves, as 9002, or 5432/tcp with its protocol: http, grpc or tcp (default: found out)")
	f.StringArrayVar(&e.reach, "reach", nil, "a service that gets a local port, as db:5432, or db:5432=15432 with the port (default: a free one, told in NARU_REACH_DB)")
	f.StringVar(&e.wish.Capture, "capture", "", "auto (the default), transparent, explicit or off")
	f.StringVar(&e.wish.Health, "health", "", "tcp (the default: the first port accepts), none, or a `path` that is asked for over HTTP")
	f.IntVar(&e.wish.Weight, "weight", 0, "share of the requests beside other instances (default 1)")
	f.StringVar(&e.socket, "socket", "", "where this machine's proxy is met (default "+admin.DefaultSocket+", or else one of the same user)")
	f.DurationVar(&e.wait, "wait", 30*time.Second, "how long to wait for this machine's proxy")
	f.DurationVar(&e.listen, "listen-within", 10*time.Second, "how long the command may take to listen on its ports before a warning says that it does not; 0 is no warning")
	f.DurationVar(&e.drain, "drain", 5*time.Second, "how long its callers may take to hear that it leaves")
	f.DurationVar(&e.grace, "grace", 30*time.Second, "how long the command may take to end after SIGTERM, before SIGKILL")
	f.StringVar(&e.level, "log-level", "warn", "debug, info, warn or error")
	f.BoolVar(&e.json, "json", false, "messages as JSON")
	return c
}

// complete checks what was given.
func (e *execution) complete() error {
	for _, p := range e.ports {
		number, protocol, _ := strings.Cut(p, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("--port %s: write a port from 1 to 65535, for example 9002 or 5432/tcp", p)
		}
		switch protocol {
		case "", "http", "grpc", "tcp":
		default:
			return fmt.Errorf("--port %s: the protocol is http, grpc or tcp", p)
		}
		e.wish.Ports = append(e.wish.Ports, admin.WishPort{Port: uint16(n), Protocol: protocol})
	}
	for _, r := range e.reach {
		to, err := readReach(r)
		if err != nil {
			return err
		}
		e.wish.Reach = append(e.wish.Reach, to)
	}
	switch {
	case e.wish.Service != "" && len(e.ports) == 0:
		return fmt.Errorf("--service %s: which port does it serve? --port 9002", e.wish.Service)
	case e.wish.Service == "" && len(e.ports) > 0:
		return errors.New("--port: of which service? --service orders")
	case e.wish.Service == "" && e.wish.Account == "":
		return errors.New("neither --service nor --account: what is it called?")
	}
	if e.wish.Weight < 0 || e.wish.Weight > 1_000_000 {
		return fmt.Errorf("--weight %d: write 1 to 1000000", e.wish.Weight)
	}
	switch e.wish.Capture {
	case "", "auto", "transparent", "explicit", "off":
	default:
		return fmt.Errorf("--capture %s: it is auto, transparent, explicit or off", e.wish.Capture)
	}
	switch h := e.wish.Health; {
	case h == "", h == "tcp", h == "none", strings.HasPrefix(h, "/"):
	default:
		return fmt.Errorf("--health %s: it is tcp, none, or a path such as /healthz", h)
	}
	return nil
}

// readReach reads SERVICE:PORT or SERVICE:PORT=LOCAL.
func readReach(text string) (to admin.WishReach, err error) {
	rest, local, given := strings.Cut(text, "=")
	name, number, _ := strings.Cut(rest, ":")
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || name == "" || port == 0 {
		return to, fmt.Errorf("--reach %s: write the service and its port, for example db:5432, or db:5432=15432 with the local port", text)
	}
	to = admin.WishReach{Name: name, Port: uint16(port)}
	if !given {
		return to, nil
	}
	port, err = strconv.ParseUint(local, 10, 16)
	if err != nil || port == 0 {
		return to, fmt.Errorf("--reach %s: the local port is from 1 to 65535, for example %s:%d=15432", text, name, to.Port)
	}
	to.Local = uint16(port)
	return to, nil
}

// passed are the signals that the command gets as they come.
var passed = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT}

func (e *execution) run(cmd *cobra.Command, args []string, log *slog.Logger) error {
	path, err := findCommand(args[0])
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append([]os.Signal{syscall.SIGTERM, syscall.SIGINT}, passed...)...)
	defer signal.Stop(signals)

	at, err := e.attach(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { at.Leave() }()
	for _, note := range at.About.Notes {
		log.Warn(note)
	}
	log.Info("workload", "name", at.About.Name, "identity", at.About.Identity, "capture", at.About.Capture)

	child := exec.Command(path, args[1:]...)
	child.Args[0] = args[0]
	child.Stdin, child.Stdout, child.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	child.Env = append(os.Environ(), at.About.Env...)
	// It is told to end if exec is killed. That is the thread's death, so this
	// goroutine keeps it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	onTerminal := isTerminal(child.Stdin)
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: !onTerminal}
	if err := app.StartWorkload(child, &at.About); err != nil {
		return unstarted(path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	if len(at.About.Reach) > 0 {
		e.wish.Reach = at.About.Reach
	}
	e.wish.Door = at.About.Door
	// Should the proxy have to be asked again.
	e.wish.Instance, e.wish.Running = at.About.Name[strings.LastIndexByte(at.About.Name, '/')+1:], at.About.Capture
	if err := at.Started(); err != nil {
		log.Warn("the proxy does not hear that the command has started", "error", err)
	}

	heard := &hearing{ports: e.wish.Ports, within: e.listen, now: time.Now, log: log,
		where: func(own bool) ([]netip.AddrPort, error) { return app.ListensAt(child.Process.Pid, own) }}
	look := in(heard.begin())
	var kill <-chan time.Time
	gone, again := at.Gone(), (<-chan time.Time)(nil)
	leaving, refused := false, "" // by a proxy that is back
	for {
		select {
		case err := <-ended:
			return status(err)
		case <-look:
			look = in(heard.look())
		case <-kill:
			log.Warn("the command does not end; killing it", "after", e.grace)
			_ = child.Process.Kill()
		case <-gone:
			// The command goes on: its proxy comes back, or what it sends is
			// refused.
			log.Error("this machine's proxy is gone; trying again")
			gone, again = nil, time.After(time.Second)
		case <-again:
			again = nil
			short, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			back, err := admin.Attach(short, app.NodeSocket(e.socket), e.wish)
			cancel()
			if err != nil {
				if !errors.Is(err, admin.ErrNoNode) && err.Error() != refused {
					refused = err.Error()
					log.Error("this machine's proxy does not take the workload back; trying again", "error", err)
				}
				again = time.After(time.Second)
				continue
			}
			refused = ""
			at.Leave()
			at, gone = back, back.Gone()
			if err := at.Started(); err == nil && leaving {
				_ = at.Drain(context.Background())
			}
			log.Warn("this machine's proxy is back")
		case s := <-signals:
			switch s {
			case syscall.SIGTERM, syscall.SIGINT:
				if leaving {
					_ = child.Process.Signal(s)
					continue
				}
				leaving, look = true, nil
				if !onTerminal || s == syscall.SIGTERM {
					e.leave(at, log)
					_ = child.Process.Signal(s)
				} // else the terminal has told the command
				kill = time.After(e.grace)
			default:
				if !onTerminal || s != syscall.SIGQUIT {
					_ = child.Process.Signal(s)
				}
			}
		}
	}
}

// in is a time from now; never for 0.
func in(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// attach waits for a proxy that is about to start, and until it is ready for the
// workload. One that ends meanwhile is as one that has not started.
func (e *execution) attach(parent context.Context) (*admin.Attachment, error) {
	ctx, cancel := context.WithTimeout(parent, e.wait)
	defer cancel()
	socket, last := app.NodeSocket(e.socket), ""
	wish := e.wish
	wish.Within = e.wait
	for {
		at, err := admin.Attach(ctx, socket, wish)
		if err == nil {
			if at, err = e.ready(parent, at); err == nil {
				return at, nil
			}
			if !errors.Is(err, admin.ErrNoNode) {
				return nil, fmt.Errorf("exec: %w", err) // it was met, however late it is
			}
		}
		switch {
		case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded): // it says no more than that time is over
		case !errors.Is(err, admin.ErrNoNode):
			return nil, fmt.Errorf("exec: %w", err)
		case errors.Is(err, fs.ErrNotExist):
			last = "" // as long as nobody has ever been there
		default:
			last = "; the last try: " + err.Error()
		}
		select {
		case <-ctx.Done():
			if parent.Err() != nil {
				return nil, fmt.Errorf("exec: %w", parent.Err())
			}
			return nil, fmt.Errorf("exec: %w at %s within %v: start naru node, or naru run with a mesh, on this machine (--socket PATH where it is met elsewhere)%s", admin.ErrNoNode, socket, e.wait, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ready waits until a workload may start. admin.ErrNoNode: its proxy has ended.
func (e *execution) ready(ctx context.Context, at *admin.Attachment) (*admin.Attachment, error) {
	// The proxy gives up first, and says what is missing.
	ctx, cancel := context.WithTimeout(ctx, e.wait+2*time.Second)
	defer cancel()
	err := at.Ready(ctx)
	if err == nil {
		return at, nil
	}
	at.Leave()
	if errors.Is(err, admin.ErrGone) {
		return nil, fmt.Errorf("%w: %w", admin.ErrNoNode, err)
	}
	return nil, fmt.Errorf("the proxy is not ready for %s: %w", at.About.Name, err)
}

// leave has nothing new come before the command is told to end.
func (e *execution) leave(at *admin.Attachment, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), e.drain)
	defer cancel()
	if err := at.Drain(ctx); err != nil {
		log.Warn("not every caller knows that the workload leaves", "error", err)
	}
}

// status turns how a command ended into how exec does.
func status(err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("exec: %w", err)
	}
	if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return silent{128 + int(w.Signal())}
	}
	return silent{exit.ExitCode()}
}
