package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

func (c *console) newPurge() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "purge --db DIR [--dry-run]",
		Short: "Remove for good what was deleted long ago, and what expired",
		Long: `Remove for good every thread and message that was deleted longer ago than --retention,
and every one that expired. A server does the same by itself from time to time; this does
it now, and a server may run meanwhile. A purge that broke off is continued by repeating
it. What is purged stays in the log until the restore window has passed.

It asks for the store's id to be typed, unless --yes is given.`,
		Example: "  bobbin purge --db ./data --dry-run\n  bobbin purge --db ./data --retention 168h --yes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			due, err := app.CountDue(cmd.Context(), cfg, c.logger())
			if err != nil {
				return failed("cannot look for what is due", err)
			}
			if dry {
				return c.showDue(&due)
			}
			if due.Threads+due.Messages > 0 {
				if err := c.confirmPurge(&due); err != nil {
					return err
				}
			}
			return c.runPurge(cmd, cfg)
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.PurgeOptions, app.TuningOptions)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would go, and change nothing")
	return cmd
}

func (c *console) runPurge(cmd *cobra.Command, cfg app.Config) error {
	report, err := app.Purge(cmd.Context(), cfg, c.logger())
	if err != nil {
		return failed(fmt.Sprintf("the purge broke off after %s and %s",
			count(int64(report.Threads), "thread"), count(int64(report.Messages), "message")), err)
	}
	if c.json {
		return c.document(report)
	}
	c.say("purged %s and %s", count(int64(report.Threads), "thread"), count(int64(report.Messages), "message"))
	return nil
}

// showDue shows what a purge would remove.
func (c *console) showDue(r *app.PurgeReport) error {
	if c.json {
		return c.document(r)
	}
	rows := [][]string{{"KEY", "CAUSE", "SINCE", "MESSAGES"}}
	for _, i := range r.Items {
		rows = append(rows, []string{i.Key, i.Cause, time.Unix(0, i.Since).UTC().Format(time.RFC3339), fmt.Sprint(i.Messages)})
	}
	if len(r.Items) > 0 {
		if err := c.table(rows); err != nil {
			return err
		}
	}
	c.say("%s and %s are due; nothing was changed", count(int64(r.Threads), "thread"), count(int64(r.Messages), "message"))
	return nil
}

// confirmPurge asks for the store's id to be typed.
func (c *console) confirmPurge(due *app.PurgeReport) error {
	what := fmt.Sprintf("%s and %s go for good", count(int64(due.Threads), "thread"), count(int64(due.Messages), "message"))
	return c.confirm(what, due.Store)
}

// confirm asks for a name to be typed before something is destroyed, unless --yes.
func (c *console) confirm(what, name string) error {
	if c.yes {
		return nil
	}
	fmt.Fprintf(c.err, "%s.\nType %s to go on: ", what, name)
	line, err := bufio.NewReader(io.LimitReader(c.in, 1<<10)).ReadString('\n')
	fmt.Fprintln(c.err)
	if err != nil && !errors.Is(err, io.EOF) {
		return failed("cannot read the answer", err)
	}
	if strings.TrimSpace(line) == name {
		return nil
	}
	return &failure{exit: exitRefused, what: "nothing was destroyed", why: errors.New("the name was not typed"),
		do: "type it as it is shown, or agree with --yes"}
}
