package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/naru-mesh/naru/admin"
	"github.com/naru-mesh/naru/app"
	"github.com/naru-mesh/naru/rollout"
)

func newRollout() *cobra.Command {
	c := &cobra.Command{
		Use: "rollout", Short: "Rollouts: how far new versions are, and what to do with them", Args: argc(cobra.NoArgs),
		Long: `rollout asks the process that decides about rollouts: naru run, or naru control.
A rollout moves the requests of a route to a new version in steps, and back by
itself when that does badly (rollout: at a route).`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newRolloutStatus())
	for _, one := range []struct {
		action      rollout.Action
		short, long string
	}{
		{rollout.Pause, "Stay at the weight of now", "pause keeps a rollout at its step. It is still rolled back by itself when the new version does badly."},
		{rollout.Resume, "Go on after a pause", "resume goes on: the step that it was paused at lasts its time once more."},
		{rollout.Abort, "Send everything to what served before", "abort gives the new version nothing any more, until naru rollout restart or another rollout."},
		{rollout.Promote, "Go to the last step at once", "promote gives the new version what the last step says, and ends the rollout. Nobody looks any more at how it does. What was rolled back has to be restarted first."},
		{rollout.Restart, "Begin anew at the first step", "restart begins anew, for example after a rollback when the new version was put right under its old name."},
	} {
		c.AddCommand(newRolloutAction(one.action, one.short, one.long))
	}
	return c
}

func rolloutSocket(c *cobra.Command, socket *string) {
	c.Flags().StringVar(socket, "socket", "", "where naru run or naru control is met (default "+admin.DefaultPlaneSocket+")")
}

func newRolloutStatus() *cobra.Command {
	var (
		socket string
		asJSON bool
		wait   time.Duration
	)
	c := &cobra.Command{
		Use: "status [NAME]", Short: "How far rollouts are, and why", Args: argc(cobra.MaximumNArgs(1)),
		Long: `status shows every rollout, or one: how many of the requests go to the new
version, how these went in this step, and why it is where it is. With --wait it
waits until the rollout is over, and fails where that is not by success.`,
		Example: `  naru rollout status
  naru rollout status shop/orders --wait 1h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait < 0 || wait > 0 && len(args) == 0 {
				return usage{errors.New("--wait: say for which rollout, and a time: naru rollout status NAME --wait 1h")}
			}
			until := time.Now().Add(wait)
			for {
				all, err := admin.AtPlane(app.PlaneSocket(socket)).Rollouts(cmd.Context())
				if err != nil {
					return err
				}
				if len(args) > 0 {
					if all, err = oneRollout(all, args[0]); err != nil {
						return err
					}
				}
				over := len(all) > 0 && all[0].Phase.Over()
				if wait > 0 && !over && time.Now().Before(until) {
					select {
					case <-cmd.Context().Done():
						return cmd.Context().Err()
					case <-time.After(min(200*time.Millisecond, time.Until(until))):
					}
					continue
				}
				if asJSON {
					err = printJSON(cmd.OutOrStdout(), all)
				} else {
					writeRollouts(cmd.OutOrStdout(), all, time.Now())
				}
				switch {
				case err != nil || wait == 0:
					return err
				case !over:
					return fmt.Errorf("rollout %s is not over after %v", args[0], wait)
				case all[0].Phase != rollout.Succeeded:
					return silent{exitFailed}
				}
				return nil
			}
		},
	}
	rolloutSocket(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to wait until the rollout is over (default: not at all)")
	return c
}

// oneRollout picks one by its name.
func oneRollout(all []rollout.View, name string) ([]rollout.View, error) {
	for i := range all {
		if all[i].Name == name {
			return all[i : i+1], nil
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there are no rollouts: write rollout: SERVICE at a route")
	}
	names := all[0].Name
	for _, v := range all[1:] {
		names += ", " + v.Name
	}
	return nil, fmt.Errorf("there is no rollout %s: there are %s", name, names)
}

func newRolloutAction(action rollout.Action, short, long string) *cobra.Command {
	var (
		socket string
		asJSON bool
	)
	c := &cobra.Command{
		Use: string(action) + " NAME", Short: short, Long: long, Args: argc(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := admin.AtPlane(app.PlaneSocket(socket)).Rollout(cmd.Context(), admin.RolloutWish{Name: args[0], Action: action})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s to %s\n", v.Name, v.Phase, percent(v.Weight), v.To)
			return nil
		},
	}
	rolloutSocket(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) + "%" }

// writeRollouts writes for people.
func writeRollouts(out io.Writer, all []rollout.View, now time.Time) {
	if len(all) == 0 {
		fmt.Fprintln(out, "no rollouts")
		return
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ROLLOUT\tTO\tPHASE\tWEIGHT\tSTEP\tFAILED\tBASELINE\tSINCE")
	for i := range all {
		v := &all[i]
		since := "-"
		if !v.Changed.IsZero() {
			since = now.Sub(v.Changed).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\n", v.Name, v.To, v.Phase, percent(v.Weight), v.Step, v.Steps, v.Canary, v.Baseline, since)
	}
	_ = w.Flush() // to the terminal
	for i := range all {
		fmt.Fprintf(out, "%s: %s\n", all[i].Name, all[i].Why)
	}
}
