package main

import (
	"cmp"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

func (c *console) newVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify --db DIR",
		Short: "Read everything back and check it",
		Long: `Read back everything that a store stands on and check it: the newest checkpoints,
those of the restore window and those that branches and pins keep, the hashes of their
tables, the chain of commits, the segments against the commits, indexes and counters
against records. It opens every key and every text, for which it needs the holder of the
top key. What newer checkpoints replaced, and the janitor will take away, is not read. It
changes nothing, and a server may run meanwhile. Exit 10 means that damage was found:
each damaged object is named once, by its key. Threads and messages are counted only
where all that the newest state stands on is whole.`,
		Example: "  bobbin verify --db ./data",
		Args:    noArgs,
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
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.KeyOptions)
	return cmd
}

func (c *console) showReport(r *app.VerifyReport) error {
	if c.json {
		return c.document(r)
	}
	tables := counted(r.Tables)
	if r.TableBytes != nil {
		tables += ", " + byteSize(*r.TableBytes)
	}
	err := c.table([][]string{
		{"store", cmp.Or(r.Store, notKnown)},
		{"branch", cmp.Or(r.Branch, notKnown)},
		{"checkpoints", counted(r.Checkpoints)},
		{"tables", tables},
		{"commits", counted(r.Commits)},
		{"segments", counted(r.Segments)},
		{"threads", counted(r.Threads)},
		{"messages", counted(r.Messages)},
		{"keys", counted(r.Keys)},
		{"sealed", counted(r.Sealed)},
		{"erased", counted(r.Erased)},
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

// notKnown and notCounted stand for what damage hides.
const (
	notKnown   = "not known"
	notCounted = "not counted"
)

func counted(n *int) string {
	if n == nil {
		return notCounted
	}
	return strconv.Itoa(*n)
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
		do:       "stop writing to it, keep what is there as it is, and put back what is named above from a copy of the store, or from the bucket's own versions if it keeps any",
		reported: true,
	}
}
