package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

// importResult is the document of import.
type importResult struct {
	Lines    int64        `json:"lines"`
	Imported int64        `json:"imported"` // lines that are in the store now
	Messages int64        `json:"messages"` // that were not there before
	Failed   int64        `json:"failed"`
	Failures []lineResult `json:"failures"` // the first of them
}

// lineResult is what became of one line of the file.
type lineResult struct {
	Line  int64  `json:"line"`
	Error string `json:"error,omitempty"`
	Code  string `json:"code,omitempty"`
	Added int64  `json:"-"`
}

// maxFailures is how many failed lines are named.
const maxFailures = 100

func (c *console) newImport() *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "import (--url URL --admin-key K | --db DIR) FILE",
		Short: "Import conversations",
		Long: `Import conversations from a file of one a line (NDJSON), which may be compressed with
gzip; - reads stdin. They go through a running server, or straight into a store in a
folder, which is made when it is missing.

A line that is damaged or refused is named, and the rest goes in. Importing a file
again changes nothing, so an import that broke off is resumed by repeating it. Exit 10
means that some lines did not go in.`,
		Example: "  bobbin import --db ./data conversations.ndjson.gz\n  bobbin import --url http://127.0.0.1:8080 --admin-key ak_... conversations.ndjson",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.runImport(cmd, args[0], tenant)
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions, app.MakeOptions, app.TuningOptions)
	remote(cmd, "admin-key")
	cmd.Flags().StringVar(&tenant, "tenant", "", "tenant of the owners, with --db; a server takes it from the key")
	return cmd
}

func (c *console) runImport(cmd *cobra.Command, path, tenant string) error {
	into, err := c.newImporter(cmd, tenant)
	if err != nil {
		return err
	}
	err = c.importFile(cmd.Context(), into, path)
	return errors.Join(err, failed("cannot close the store", into.close(context.WithoutCancel(cmd.Context()))))
}

// newImporter says where the lines go: to a server, or into a folder.
func (c *console) newImporter(cmd *cobra.Command, tenant string) (importer, error) {
	if !cmd.Flags().Changed("url") {
		if _, byEnv := c.lookup(app.EnvName("url")); !byEnv || cmd.Flags().Changed("db") || cmd.Flags().Changed("bucket") {
			return c.newFolderImporter(cmd, tenant)
		}
	}
	if cmd.Flags().Changed("db") || cmd.Flags().Changed("bucket") {
		return nil, usage("--url and --db: give one of them")
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

// importFile imports the lines of a file and shows what became of them.
func (c *console) importFile(ctx context.Context, into importer, path string) error {
	text, size, err := c.openText(path)
	if err != nil {
		return failed("cannot read "+path, err)
	}
	defer text.Close()
	bar := c.newProgress("importing", size)
	lines, err := inflate(path, bar.reader(text))
	if err != nil {
		bar.end()
		return failed("cannot read "+path, err)
	}
	var result importResult
	result.Failures = []lineResult{}
	err = importLines(ctx, lines, into, func(r lineResult) {
		result.add(r)
		if r.Error != "" && result.Failed <= maxFailures {
			bar.clear()
			fmt.Fprintf(c.err, "line %d: %s\n", r.Line, r.Error)
		}
	})
	bar.end()
	if shown := c.showImport(&result); shown != nil {
		return shown
	}
	if err != nil {
		return &failure{what: "the import broke off", why: err, reported: true,
			do: "mend that and repeat the command; what went in is not imported twice"}
	}
	return result.failure()
}

func (r *importResult) add(line lineResult) {
	r.Lines++
	r.Messages += line.Added
	if line.Error == "" {
		r.Imported++
		return
	}
	r.Failed++
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, line)
	}
}

func (c *console) showImport(r *importResult) error {
	if c.json {
		return c.document(r)
	}
	c.say("imported %s of %d, %s new, %d failed", count(r.Imported, "conversation"), r.Lines, count(r.Messages, "message"), r.Failed)
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

// openText opens a file, or stdin for "-". The size is -1 when nobody knows it.
func (c *console) openText(path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(c.in), -1, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a folder")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}

// inflate reads a file whose name ends in .gz decompressed.
func inflate(path string, r io.Reader) (io.Reader, error) {
	if !strings.HasSuffix(path, ".gz") {
		return r, nil
	}
	return gzip.NewReader(r)
}
