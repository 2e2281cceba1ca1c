package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

func (c *console) newVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify --db DIR",
		Short: "Read everything back and check it",
		Long: `Read back every object of a store and check it: the hashes of tables, the chain of
commits, the segments against the commits, indexes and counters against records. It
changes nothing, and a server may run meanwhile. Exit 10 means that damage was found.`,
		Example: "  bobbin verify --db ./data",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			bar := c.newProgress("verifying", -1)
			report, err := app.Verify(cmd.Context(), cfg, c.logger(), bar.set)
			bar.end()
			if err != nil {
				return failed("cannot verify the store", err)
			}
			if err := c.showReport(&report); err != nil {
				return err
			}
			return damageOf(&report)
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.TuningOptions)
	return cmd
}

func (c *console) showReport(r *app.VerifyReport) error {
	if c.json {
		return c.document(r)
	}
	err := c.table([][]string{
		{"store", r.Store},
		{"branch", r.Branch},
		{"checkpoints", strconv.Itoa(r.Checkpoints)},
		{"tables", strconv.Itoa(r.Tables) + ", " + byteSize(r.TableBytes)},
		{"commits", strconv.Itoa(r.Commits)},
		{"segments", strconv.Itoa(r.Segments)},
		{"threads", strconv.Itoa(r.Threads)},
		{"messages", strconv.Itoa(r.Messages)},
		{"damage", strconv.Itoa(len(r.Damage))},
	})
	if err != nil || len(r.Damage) == 0 {
		return err
	}
	rows := [][]string{{}, {"OBJECT", "DAMAGE"}}
	for _, f := range r.Damage {
		rows = append(rows, []string{f.Object, f.What})
	}
	return c.table(rows)
}

// damageOf is the failure of a store that is not whole.
func damageOf(r *app.VerifyReport) error {
	if len(r.Damage) == 0 {
		return nil
	}
	return &failure{
		exit:     exitDamage,
		what:     "the store is damaged",
		why:      errors.New(count(int64(len(r.Damage)), "finding") + ", the first in " + r.Damage[0].Object),
		do:       "stop writing to it, keep a copy of the folder, and restore what is named above",
		reported: true,
	}
}
