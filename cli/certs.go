package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/app"
)

func newCerts() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "certs",
		Short: "Show the roots of the local authority (tls: local), and how to trust them",
		Long: `certs lists the roots that sign the certificates of tls: local and --tls local:
the file, what the root can sign for at all, and its fingerprint. naru puts
nothing into a trust store; the commands that do are printed.`,
		Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := app.Certificates()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, s)
			}
			if len(s.Roots) == 0 {
				fmt.Fprintf(out, "There are no roots in %s: naru run --tls local makes one.\n", s.Folder)
				return nil
			}
			for _, r := range s.Roots {
				fmt.Fprintf(out, "%s\n  valid for  %s\n  until      %s\n  SHA-256    %s\n",
					r.File, strings.Join(r.ValidFor, ", "), r.NotAfter.UTC().Format(time.DateOnly), r.Fingerprint)
			}
			fmt.Fprintf(out, trustAdvice, s.Roots[0].File)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

const trustAdvice = `To trust one, for this command, for Debian and its like, for Fedora and its like:
  curl --cacert %[1]s https://localhost/
  sudo cp %[1]s /usr/local/share/ca-certificates/naru-local.crt && sudo update-ca-certificates
  sudo trust anchor %[1]s
Browsers import it under Settings, Certificates, Authorities.
`
