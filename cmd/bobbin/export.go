package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

// exportResult is the document of an export to a file.
type exportResult struct {
	File          string `json:"file"`
	Conversations int    `json:"conversations"`
}

func (c *console) newExport() *cobra.Command {
	var out string
	var opts app.ExportOptions
	cmd := &cobra.Command{
		Use:   "export --db DIR [--out FILE]",
		Short: "Export conversations",
		Long: `Write every conversation as one line of NDJSON, in the shape that import reads, to
stdout or to a file; one whose name ends in .gz is compressed. The file has its name
only once it is whole.

Deleted threads and messages that are not purged yet are written too, with their texts
and the time of their deletion, so that an import has what the store had;
--without-deleted leaves them out.`,
		Example: "  bobbin export --db ./data --out conversations.ndjson.gz\n  bobbin export --db ./data --user ada",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			switch given := cmd.Flags().Changed("user"); {
			case given && opts.User == "":
				return usage("--user %q: want the id of a user", opts.User)
			case !given && opts.Tenant != "":
				return usage("--tenant goes with --user")
			}
			lines := 0
			export := func(to io.Writer) (err error) {
				lines, err = app.Export(cmd.Context(), cfg, c.logger(), opts, func(line []byte) error {
					_, err := to.Write(line)
					return err
				})
				return err
			}
			if err := c.writeExport(out, export); err != nil {
				return failed("cannot export", err)
			}
			if c.json && out != "-" {
				return c.document(exportResult{out, lines})
			}
			c.say("exported %s", count(int64(lines), "conversation"))
			return nil
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.KeyOptions)
	cmd.Flags().StringVar(&out, "out", "-", "file to write; - for stdout")
	cmd.Flags().StringVar(&opts.User, "user", "", "export only what this user owns")
	cmd.Flags().BoolVar(&opts.WithoutDeleted, "without-deleted", false, "leave out deleted threads and messages")
	cmd.Flags().StringVar(&opts.Tenant, "tenant", "", "tenant of that user")
	return cmd
}

// writeExport writes to stdout, or to a file that is whole or not there.
func (c *console) writeExport(out string, export func(io.Writer) error) error {
	if out == "-" {
		return buffered(c.out, export)
	}
	info, err := os.Stat(out)
	switch {
	case err == nil && info.IsDir():
		return &failure{exit: exitFailed, what: "cannot export to " + out, why: errors.New("it is a folder"),
			do: "name a file in it"}
	case err == nil && !c.yes:
		return &failure{exit: exitRefused, what: "cannot export to " + out, why: errors.New("the file is there already"),
			do: "choose another name, or overwrite it with --yes"}
	}
	f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	err = buffered(f, func(w io.Writer) error { return deflated(out, w, export) })
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), out); err != nil {
		return fmt.Errorf("name the file: %w", err)
	}
	return nil
}

func buffered(to io.Writer, export func(io.Writer) error) error {
	b := bufio.NewWriterSize(to, 1<<20)
	if err := export(b); err != nil {
		return err
	}
	return b.Flush()
}

// deflated compresses what goes to a file whose name ends in .gz.
func deflated(name string, to io.Writer, export func(io.Writer) error) error {
	if !strings.HasSuffix(name, ".gz") {
		return export(to)
	}
	z := gzip.NewWriter(to)
	if err := export(z); err != nil {
		return err
	}
	return z.Close()
}
