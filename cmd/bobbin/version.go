package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

// versionResult is the document of version.
type versionResult struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

func (c *console) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which release this is",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionResult{app.Version, app.Commit(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if c.json {
				return c.document(v)
			}
			fmt.Fprintf(c.out, "bobbin %s (commit %s, %s, %s)\n", v.Version, v.Commit, v.Go, v.System)
			return nil
		},
	}
}
