package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

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
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionResult{app.Version, commit(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if c.json {
				return c.document(v)
			}
			fmt.Fprintf(c.out, "bobbin %s (commit %s, %s, %s)\n", v.Version, v.Commit, v.Go, v.System)
			return nil
		},
	}
}

// commit is the revision that the binary was built from.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
