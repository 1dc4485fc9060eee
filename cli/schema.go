package cli

import (
	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/app"
)

func newSchema() *cobra.Command {
	var kinds, reference bool
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the short form, for editors",
		Long: `schema prints JSON Schema (2020-12). In VS Code with the YAML extension:

  naru schema > naru.schema.json
  # yaml-language-server: $schema=naru.schema.json     (first line of your file)`,
		Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := app.Schema(kinds, reference)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().BoolVar(&kinds, "kinds", false, "of naru's own kinds (Mesh, Workload, Service, TrafficPolicy) instead")
	c.Flags().BoolVar(&reference, "reference", false, "print the reference page (Markdown) instead")
	return c
}
