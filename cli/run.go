package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/app"
)

func newRun() *cobra.Command {
	var (
		opt   app.Options
		level string
	)
	c := &cobra.Command{
		Use:   "run [FILES | --to URL] [--tls auto|local [HOSTS]]",
		Short: "Serve: the gateway that files describe, or one in front of a URL",
		Long: `run serves until it is told to stop (Ctrl-C or SIGTERM), and then lets
requests under way finish. FILES are files, folders and globs in the short form
or the Gateway API; a change takes effect when it is saved. Without FILES it
looks for naru.yaml in this folder.

With --tls it listens on port 443 with certificates that come by themselves,
and on port 80 to send people there; --listen says another place for the first
and leaves the second out. auto gets them from Let's Encrypt, for HOSTS that
lead here; local makes them, for developing (naru certs says how to trust them).`,
		Example: `  naru run --to http://127.0.0.1:3000
  naru run --to http://127.0.0.1:3000 --tls auto shop.example.com
  naru run --to http://127.0.0.1:3000 --tls local --listen 127.0.0.1:8443
  naru run --to http://127.0.0.1:3000 --listen 127.0.0.1:80 --access-log text
  naru run shop.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch opt.TLS {
			case "":
			case "auto", "local":
				args, opt.Names = hosts(args)
				if opt.TLS == "auto" && opt.To != "" && len(opt.Names) == 0 {
					return usage{errors.New("--tls auto: name the hosts that certificates are for, for example naru run --to URL --tls auto shop.example.com")}
				}
			default:
				return usage{fmt.Errorf("--tls %s: it is auto or local", opt.TLS)}
			}
			switch {
			case opt.To != "" && len(args) > 0:
				return usage{errors.New("FILES and --to exclude each other")}
			case opt.To == "" && opt.TLS == "" && opt.Listen != "":
				return usage{errors.New("--listen goes with --to or --tls; in a file it is called listen")}
			case opt.To != "" && !strings.Contains(opt.To, ":"):
				return usage{fmt.Errorf("--to %s: write a URL, for example http://127.0.0.1:3000", opt.To)}
			case opt.To == "":
				if opt.Files, err = files(args); err != nil {
					return err
				}
			}
			if err = opt.Mesh.Check(); err != nil {
				return usage{err}
			}
			if opt.Log, err = logger(cmd.ErrOrStderr(), level, opt.JSON); err != nil {
				return err
			}
			switch opt.AccessLog {
			case "", "off", "text", "json":
			default:
				return usage{fmt.Errorf("--access-log %s: it is off, text or json", opt.AccessLog)}
			}
			opt.Out = cmd.OutOrStdout()
			if opt.Drain == 0 {
				opt.Drain = -1 // said in words: no time
			}
			unheard()
			return app.Run(cmd.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringVar(&opt.To, "to", "", "forward everything to this `URL`")
	f.StringVar(&opt.Listen, "listen", "", "with --to or --tls: the `address` to listen on (default :8080, with --tls :443)")
	f.StringVar(&opt.TLS, "tls", "", "certificates that come by themselves: auto (Let's Encrypt) or local (for developing)")
	f.StringVar(&opt.Admin, "admin", "", "`address` of the admin server, or off (default 127.0.0.1:9901)")
	f.StringVar(&opt.AccessLog, "access-log", "", "off, text or json, on standard output (default off)")
	f.Var((*overload)(&opt), "overload", "when naru itself has too much to do, in the `words` of the short form, before those of the file: off, or for example {memory: 1GiB}")
	f.DurationVar(&opt.Drain, "drain", 30*time.Second, "how long requests may take to finish after a stop")
	f.IntVar(&opt.Loops, "loops", 0, "number of event loops (default one for each core)")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&opt.JSON, "json", false, "greeting and messages as JSON")
	meshFlags(f, &opt.Mesh)
	nodeFlags(f, &opt.Mesh)
	planeFlags(f, &opt.Mesh)
	f.StringVar(&opt.Mesh.Listen, "control-listen", "", "with a mesh: the `address` at which other machines' nodes are served, for example 0.0.0.0:15012 (default: none are)")
	return c
}

// hosts tells the hosts among the arguments from the files.
func hosts(args []string) (files, names []string) {
	for _, a := range args {
		_, err := os.Stat(a)
		switch ext := filepath.Ext(a); {
		case err == nil, a == "-", ext == ".yaml", ext == ".yml", ext == ".json", strings.ContainsRune(a, filepath.Separator):
			files = append(files, a)
		default:
			names = append(names, a)
		}
	}
	return files, names
}

// overload is the flag of Options.Overload.
type overload app.Options

func (o *overload) Set(text string) (err error) {
	o.Overload, err = app.ReadOverload(text)
	return err
}

func (o *overload) Type() string { return "words" }

func (o *overload) String() string { return "" }
