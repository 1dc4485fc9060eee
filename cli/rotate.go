package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/app"
)

func newRotate() *cobra.Command {
	c := &cobra.Command{
		Use: "rotate", Short: "Replace certificates and keys of the mesh now", Args: argc(cobra.NoArgs),
		Long: `rotate replaces what is replaced by itself before it expires, at once: because a
key may have been seen, or to see that it can be done. No request fails by it.
New connections show what is new; those that are open end with what they carry.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var plane, node string
	var wait time.Duration
	root := &cobra.Command{
		Use: "root", Short: "Replace the root, on a control plane", Args: argc(cobra.NoArgs),
		Long: `root publishes a new root of the mesh. Once every proxy that is connected has
it, it signs; the old one is believed until the last certificate below it has
ended. naru status shows the stages. Nodes that are away keep the old root, and
get the new one when they are back.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at := admin.AtPlane(app.PlaneSocket(plane))
			if err := at.Rotate(cmd.Context()); err != nil {
				return err
			}
			return untilSigns(cmd.Context(), at, wait)
		},
	}
	root.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait until the new root signs; 0: not at all")
	intermediate := &cobra.Command{
		Use: "intermediate", Short: "Replace the intermediate that a control plane signs with", Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return admin.AtPlane(app.PlaneSocket(plane)).Reissue(cmd.Context())
		},
	}
	for _, c := range []*cobra.Command{root, intermediate} {
		c.Flags().StringVar(&plane, "socket", "", "where the control plane is met (default "+admin.DefaultPlaneSocket+")")
	}
	workloads := &cobra.Command{
		Use: "workloads", Short: "Replace the certificates and keys of all workloads of this machine", Args: argc(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := admin.Renew(cmd.Context(), app.NodeSocket(node))
			if errors.Is(err, admin.ErrNoNode) {
				return fmt.Errorf("%w (--socket PATH where it is met elsewhere)", err)
			}
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d identities have new certificates and keys\n", n)
			}
			return err
		},
	}
	workloads.Flags().StringVar(&node, "socket", "", "where this machine's proxy is met (default "+admin.DefaultSocket+", or else one of the same user)")
	c.AddCommand(root, intermediate, workloads)
	return c
}

// untilSigns waits until no root is only prepared any more.
func untilSigns(ctx context.Context, at *admin.PlaneClient, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		s, err := at.Status(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil && !hasStage(s.Roots, "prepared") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the new root is published, and does not sign after %v: a proxy has not acknowledged it yet (naru status shows which lags); it signs after a day at the latest", wait)
		case <-t.C:
		}
	}
}

func hasStage(roots []admin.RootStatus, stage string) bool {
	for _, r := range roots {
		if r.Stage == stage {
			return true
		}
	}
	return false
}
