package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/app"
)

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
	// exitInterrupted is what shells make of a program that SIGINT has ended.
	exitInterrupted = 130
)

// silent is a failure whose account was printed already.
type silent struct{ status int }

func (s silent) Error() string { return fmt.Sprintf("exit status %d", s.status) }

// usage is a mistake on the command line.
type usage struct{ err error }

func (u usage) Error() string { return u.err.Error() }
func (u usage) Unwrap() error { return u.err }

// Main runs the command line and gives the exit status.
func Main(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	interrupt, term := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	defer signal.Stop(interrupt)
	signal.Notify(term, syscall.SIGTERM)
	defer signal.Stop(term)
	go func() {
		select {
		case <-interrupt:
		case <-term:
		case <-ctx.Done():
			return
		}
		cancel()
		// Whoever presses Ctrl-C again does not want to wait for the drain: from
		// before it begins, and also where the process was started with the signal
		// ignored, as shells start what runs in the background. SIGTERM may come
		// several times without meaning that: from a supervisor, or once for each
		// thread of a parent that has died (prctl(2), PR_SET_PDEATHSIG).
		<-interrupt
		os.Exit(exitInterrupted)
	}()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	var s silent
	var u usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		return s.status
	case errors.As(err, &u):
		fmt.Fprintln(errs, "naru:", err)
		fmt.Fprintln(errs, "Try naru --help, or naru COMMAND --help.")
		return exitUsage
	}
	fmt.Fprintln(errs, "naru:", err)
	var e ending
	if errors.As(err, &e) {
		return e.status
	}
	return exitFailed
}

// unheard lets a process that serves live on when nobody reads its messages any
// more. In naru run | tee log, Ctrl-C ends tee first: naru has to drain then,
// and to remove what captures traffic.
func unheard() { signal.Ignore(syscall.SIGPIPE) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "naru",
		Short: "An API gateway and a service mesh in one binary",
		Long: `naru stands in front of your services: it routes, balances, retries and
observes, and reloads when you save its configuration.

  naru run --to http://127.0.0.1:3000      a gateway in front of one service
  naru run shop.yaml                       what the file says
  naru check shop.yaml                     mistakes, with line and column
  naru explain GET http://localhost:8080/  which route a request takes, and why`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage{noCommand(cmd, args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.Version = app.Version()
	root.SetVersionTemplate("naru {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.HasSuffix(err.Error(), " in -f") {
			return usage{fmt.Errorf("files are named without -f here: naru %s shop.yaml", cmd.Name())}
		}
		return usage{err}
	})
	root.AddCommand(newRun(), newBundle(), newCheck(), newExplain(), newCerts(), newControl(), newExec(), newNode(), newRollout(), newRotate(), newSchema(), newStatus(), newToken(), newVersion())
	return root
}

// noCommand says what somebody who wrote word most likely meant.
func noCommand(cmd *cobra.Command, word string) error {
	err := fmt.Errorf("there is no command %q", word)
	if _, stat := os.Stat(word); stat == nil {
		return fmt.Errorf("%w (did you mean naru run %s?)", err, word)
	}
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return fmt.Errorf("%w (did you mean naru %s?)", err, near[0])
	}
	return err
}

// argc is cobra's argument count check with our exit status.
func argc(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage{err}
		}
		return nil
	}
}

// files are the arguments, or naru.yaml in the folder where the command runs.
func files(args []string) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	for _, name := range []string{"naru.yaml", "naru.yml", "naru.json"} {
		if _, err := os.Stat(name); err == nil {
			return []string{name}, nil
		}
	}
	return nil, usage{errors.New("no configuration: name a file or folder, put a naru.yaml here, or use naru run --to http://HOST:PORT")}
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": app.Version()})
			}
			fmt.Fprintln(cmd.OutOrStdout(), "naru", app.Version())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// logger writes messages of level and above to w: for people where w is a
// terminal, for programs otherwise.
func logger(w io.Writer, level string, asJSON bool) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage{fmt.Errorf("--log-level %q: it is debug, info, warn or error", level)}
	}
	opt := &slog.HandlerOptions{Level: l}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	if isTerminal(w) {
		return slog.New(newTerminal(w, l, coloured())), nil
	}
	return slog.New(slog.NewTextHandler(w, opt)), nil
}
