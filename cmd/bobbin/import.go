package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

// importResult is the document of import.
type importResult struct {
	Lines    int64        `json:"lines"`
	Imported int64        `json:"imported"` // lines that are in the store now
	Messages int64        `json:"messages"` // that were not there before
	Failed   int64        `json:"failed"`
	Failures []lineResult `json:"failures"` // in order
}

// lineResult is what became of one line of the file.
type lineResult struct {
	Line  int64  `json:"line"`
	Error string `json:"error,omitempty"`
	Code  string `json:"code,omitempty"`
	Added int64  `json:"-"`
}

// maxNamed is how many failed lines are named for a person to read.
const maxNamed = 100

func (c *console) newImport() *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "import (--url URL --admin-key K | --db DIR) FILE",
		Short: "Import conversations",
		Long: `Import conversations from a file of one a line (NDJSON), which may be compressed with
gzip; - reads stdin. They go through a running server, or straight into the bucket of
a store, a folder or on S3, which is made when it is missing.

A line that is damaged or refused is named, and the rest goes in; of more than 100 such
lines the first 100 are named, and all of them with --json. Importing a file again
changes nothing, so an import that broke off is resumed by repeating it. Exit 10 means
that some lines did not go in.`,
		Example: "  bobbin import --db ./data conversations.ndjson.gz\n  bobbin import --url http://127.0.0.1:8080 --admin-key ak_... conversations.ndjson",
		Args:    oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runImport(cmd, args[0], tenant)
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.KeyOptions, app.MakeOptions, app.TuningOptions)
	remote(cmd, "admin-key")
	cmd.Flags().StringVar(&tenant, "tenant", "", "tenant of the owners, with --db, in place of the one that a line names")
	return cmd
}

// runImport opens the file before the store, so that a file that cannot be read leaves
// no store behind.
func (c *console) runImport(cmd *cobra.Command, path, tenant string) error {
	into, err := c.newImporter(cmd, tenant)
	if err != nil {
		return err
	}
	file, size, err := c.openFile(path)
	if err != nil {
		return failed("cannot read "+path, err)
	}
	defer file.Close()
	bar := c.newProgress("importing", size)
	defer bar.end()
	text, err := readText(path, bar.reader(file))
	if err != nil {
		return failed("cannot read "+path, err)
	}
	ctx := cmd.Context()
	if err := into.open(ctx); err != nil {
		return err
	}
	err = c.importText(ctx, into, text, bar)
	return errors.Join(err, failed("cannot close the store", into.close(context.WithoutCancel(ctx))))
}

// newImporter says where the lines go: to a server, or into a folder.
func (c *console) newImporter(cmd *cobra.Command, tenant string) (importer, error) {
	byFlag := func(names ...string) bool {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return true
			}
		}
		return false
	}
	byEnv := func(name string) bool {
		value, _ := c.lookup(app.EnvName(name))
		return value != ""
	}
	folder := byFlag("db", "bucket")
	switch server := byFlag("url"); {
	case folder && server:
		return nil, usage("--url and --db: give one of them")
	case !folder && !server && !byEnv("url") && !byEnv("db") && !byEnv("bucket"):
		return nil, usage("say where the conversations go: --url and --admin-key for a server, or --db for a folder")
	case folder, !server && !byEnv("url"):
		return c.newFolderImporter(cmd, tenant)
	}
	if tenant != "" {
		return nil, usage("--tenant goes with --db; a server takes the tenant from the key")
	}
	flags, err := c.fromFlags(cmd, "url", "admin-key")
	if err != nil {
		return nil, err
	}
	to, err := newClient(flags["url"], importRequests)
	if err != nil {
		return nil, err
	}
	return &serverImporter{client: to, key: flags["admin-key"]}, nil
}

// importText imports the lines of a text and shows what became of them.
func (c *console) importText(ctx context.Context, into importer, text io.Reader, bar *progress) error {
	result := importResult{Failures: []lineResult{}}
	err := importLines(ctx, text, into, func(r lineResult) {
		result.add(r, c.json)
		if r.Error != "" && result.Failed <= maxNamed {
			bar.clear()
			fmt.Fprintf(c.err, "line %d: %s\n", r.Line, r.Error)
		}
	})
	bar.end()
	if more := result.Failed - maxNamed; more > 0 && !c.json {
		fmt.Fprintf(c.err, "and %s more; --json lists them all\n", count(more, "line"))
	}
	if shown := c.showImport(&result, err); shown != nil {
		return shown
	}
	if err != nil {
		return brokenOff(ctx, err)
	}
	return result.failure()
}

// brokenOff is the failure of an import that did not come to the end of its file.
func brokenOff(ctx context.Context, err error) error {
	f := &failure{what: "the import broke off", why: err, reported: true,
		do: "mend that and import the file again: it goes on, and what is in is not imported twice"}
	var damage *gzipError
	switch {
	case ctx.Err() != nil:
		f.exit, f.why = exitInterrupted, errors.New("it was interrupted")
		f.do = "import the file again to go on: what is in is not imported twice"
	case errors.As(err, &damage):
		f.exit = exitDamage
		f.do = "get the file whole and import it again: what is in is not imported twice"
	}
	return f
}

// add counts a line, and lists it if it failed: all that did, or as many as are named.
func (r *importResult) add(line lineResult, all bool) {
	r.Lines++
	r.Messages += line.Added
	if line.Error == "" {
		r.Imported++
		return
	}
	r.Failed++
	if all || len(r.Failures) < maxNamed {
		r.Failures = append(r.Failures, line)
	}
}

// showImport shows what went in, before the import broke off if it did.
func (c *console) showImport(r *importResult, err error) error {
	if c.json {
		return c.document(r)
	}
	did := "imported"
	if err != nil {
		did = "before it broke off, imported"
	}
	c.say("%s %s of %d, %s new, %d failed", did, count(r.Imported, "conversation"), r.Lines, count(r.Messages, "message"), r.Failed)
	return nil
}

// failure is the failure of an import of which some lines did not go in.
func (r *importResult) failure() error {
	if r.Failed == 0 {
		return nil
	}
	first := r.Failures[0]
	return &failure{
		exit:     exitDamage,
		what:     fmt.Sprintf("%s of %d did not go in", count(r.Failed, "line"), r.Lines),
		why:      fmt.Errorf("the first is line %d: %s", first.Line, first.Error),
		do:       "mend these lines and import the file again; the other lines are in",
		reported: true,
	}
}
