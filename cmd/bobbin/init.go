package main

import (
	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

// initResult is the document of init.
type initResult struct {
	Bucket  string `json:"bucket"`
	Created bool   `json:"created"`
}

func (c *console) newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "init --db DIR",
		Short:   "Make a store",
		Long:    "Make a store in a folder that is missing or empty, or in a bucket on S3. A store that is there stays as it is.",
		Example: "  bobbin init --db ./data --partitions 4",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			created, err := app.InitStore(cmd.Context(), cfg)
			if err != nil {
				return failed("cannot make the store", err)
			}
			if c.json {
				return c.document(initResult{cfg.Bucket, created})
			}
			if created {
				c.say("made a store in %s", cfg.Bucket)
			} else {
				c.say("there is a store in %s already; nothing was changed", cfg.Bucket)
			}
			return nil
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.KeyOptions, app.MakeOptions)
	return cmd
}
