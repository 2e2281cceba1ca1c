package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/doctor"
)

func (c *console) newDoctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor --db DIR",
		Short: "Check that a bucket can hold a store",
		Long: `Check that a folder, or a bucket on S3, keeps the promises that a store stands on: races
to create and to swap have one winner, reads and lists see what was written before them,
clocks agree; of a folder also that locks, links and fsync work, and that there is room.

What it writes goes to a scratch folder within, or under a prefix of its own, which it
removes; nothing of a store is touched, and a server may run meanwhile. Exit 10 means
that a promise is not kept: no store is safe there. Exit 12 means that permission is
missing, 1 that another check failed. A warning is no failure.`,
		Example: "  bobbin doctor --db ./data\n  bobbin doctor --bucket s3://chats/prod --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			report, err := app.Doctor(cmd.Context(), cfg)
			if err != nil {
				return failed("cannot check the bucket", err)
			}
			if err := c.showDiagnosis(&report); err != nil {
				return err
			}
			if err := doctor.Err(report.Checks); err != nil {
				return &failure{what: "the bucket is not fit for a store", why: err, reported: true}
			}
			return nil
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions)
	return cmd
}

func (c *console) showDiagnosis(r *doctor.Report) error {
	if c.json {
		return c.document(r)
	}
	rows := [][]string{{"CHECK", "RESULT", "TIME", "SEEN"}}
	for _, f := range r.Checks {
		verdict := string(f.Verdict)
		switch f.Verdict {
		case doctor.OK:
			verdict = c.paint(os.Stdout, green, verdict)
		case doctor.Failed:
			verdict = c.paint(os.Stdout, red, verdict)
		case doctor.Warning, doctor.Skipped:
		}
		rows = append(rows, []string{f.Check, verdict, fmt.Sprintf("%.1f ms", f.Ms), f.Seen})
	}
	if err := c.table(rows); err != nil {
		return err
	}
	for _, f := range r.Checks {
		if f.Advice != "" {
			c.say("%s: %s", f.Check, f.Advice)
		}
	}
	return nil
}
