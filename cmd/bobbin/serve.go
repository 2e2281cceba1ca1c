package main

import (
	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

func (c *console) newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --db DIR",
		Short: "Serve a store over HTTP",
		Long: `Serve a store over HTTP until SIGINT or SIGTERM; the second signal ends it at once.

A store that is missing is made. A first start makes a key of every kind that none
was given for, and keeps them in the store's folder; for a store on S3 all of them are
given. With --json the first line on stdout is an object with url, metrics_url (with
--metrics-addr), backend_key, frontend_key, admin_key and signing_key; keys that were
given are left empty there.`,
		Example: "  bobbin serve --db ./data\n  bobbin serve --db ./data --addr 127.0.0.1:0 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			err = app.Serve(cmd.Context(), cfg, app.ServeOutput{Stdout: c.out, Stderr: c.err, JSON: c.json, Quiet: c.quiet})
			return failed("cannot serve the store", err)
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.KeyOptions, app.MakeOptions, app.ServeOptions, app.PurgeOptions, app.TuningOptions, app.LogOptions)
	return cmd
}
