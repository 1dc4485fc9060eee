package cli

import (
	"errors"
	"fmt"
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
		Use:   "run [FILES | --to URL]",
		Short: "Serve: the gateway that files describe, or one in front of a URL",
		Long: `run serves until it is told to stop (Ctrl-C or SIGTERM), and then lets
requests under way finish. FILES are files, folders and globs in the short form
or the Gateway API; a change takes effect when it is saved. Without FILES it
looks for naru.yaml in this folder.`,
		Example: `  naru run --to http://127.0.0.1:3000
  naru run --to http://127.0.0.1:3000 --listen 127.0.0.1:80 --access-log text
  naru run shop.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch {
			case opt.To != "" && len(args) > 0:
				return usage{errors.New("FILES and --to exclude each other")}
			case opt.To == "" && opt.Listen != "":
				return usage{errors.New("--listen goes with --to; in a file it is called listen")}
			case opt.To != "" && !strings.Contains(opt.To, ":"):
				return usage{fmt.Errorf("--to %s: write a URL, for example http://127.0.0.1:3000", opt.To)}
			case opt.To == "":
				if opt.Files, err = files(args); err != nil {
					return err
				}
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
			return app.Run(cmd.Context(), opt)
		},
	}
	f := c.Flags()
	f.StringVar(&opt.To, "to", "", "forward everything to this `URL`")
	f.StringVar(&opt.Listen, "listen", "", "with --to: the `address` to listen on (default :8080)")
	f.StringVar(&opt.Admin, "admin", "", "`address` of the admin server, or off (default 127.0.0.1:9901)")
	f.StringVar(&opt.AccessLog, "access-log", "", "off, text or json, on standard output (default off)")
	f.DurationVar(&opt.Drain, "drain", 30*time.Second, "how long requests may take to finish after a stop")
	f.IntVar(&opt.Loops, "loops", 0, "number of event loops (default one for each core)")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&opt.JSON, "json", false, "greeting and messages as JSON")
	return c
}
