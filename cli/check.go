package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/model"
)

func newCheck() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [FILES]",
		Short: "Find the mistakes in a configuration",
		Long: `check reads FILES as run does and prints each mistake as
file:line:column: what is wrong (what would be right). The exit status is 1 if
anything would not serve.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := files(args)
			if err != nil {
				return err
			}
			s, problems, err := app.Check(cmd.Context(), names, cmd.InOrStdin())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				if problems == nil {
					problems = []model.Problem{}
				}
				err := printJSON(out, map[string]any{
					"version": s.Version, "problems": problems,
					"listeners": len(s.Listeners), "routes": len(s.Routes), "flows": len(s.Flows), "services": len(s.Services),
				})
				if err != nil {
					return err
				}
			} else {
				for _, p := range problems {
					fmt.Fprintln(out, p)
				}
			}
			if broken(problems) > 0 {
				return silent{exitFailed}
			}
			switch {
			case len(s.Listeners) == 0 && s.Mesh == nil:
				return errors.New("nothing is configured: there is no listener, and no mesh")
			case asJSON:
			case len(s.Listeners) == 0: // of a control plane
				fmt.Fprintf(out, "good: a mesh, %s, %s\n", count(len(s.Services), "service"), plural(len(s.Policies), "policy", "policies"))
			default:
				fmt.Fprintf(out, "good: %s, %s, %s\n", count(len(s.Listeners), "listener"), count(len(s.Routes)+len(s.Flows), "route"), count(len(s.Services), "service"))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func broken(problems []model.Problem) (n int) {
	for _, p := range problems {
		if p.Severity == model.Broken {
			n++
		}
	}
	return n
}

// count writes "1 route", "2 routes".
func count(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
