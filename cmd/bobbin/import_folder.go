package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/conversation"
)

// folderImporter imports into a store that it opened itself.
type folderImporter struct {
	*console
	config app.Config
	tenant string
	store  *app.Store
}

// importInFlight is how many conversations are imported at once, so that they share
// commits.
const importInFlight = 64

func (c *console) newFolderImporter(cmd *cobra.Command, tenant string) (importer, error) {
	cfg, err := c.load(cmd)
	if err != nil {
		return nil, err
	}
	return &folderImporter{console: c, config: cfg, tenant: tenant}, nil
}

func (f *folderImporter) open(ctx context.Context) error {
	created, err := app.InitStore(ctx, f.config)
	if err != nil {
		return failed("cannot make the store", err)
	}
	if created {
		f.say("made a store in %s", f.config.Bucket)
	}
	f.store, err = app.OpenStore(ctx, f.config, f.logger())
	return failed("cannot open the store", err)
}

func (f *folderImporter) limits() (groups, size int) { return importInFlight, 0 } // one line each

func (f *folderImporter) put(ctx context.Context, lines []importLine) ([]lineResult, error) {
	results := make([]lineResult, len(lines))
	for i, line := range lines {
		var err error
		if results[i], err = f.putLine(ctx, line); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (f *folderImporter) putLine(ctx context.Context, line importLine) (lineResult, error) {
	if line.text == nil {
		return tooLong(line), nil
	}
	in, err := conversation.Parse(line.text)
	if err != nil {
		return refused(line, err)
	}
	in.Owner.Tenant = cmp.Or(f.tenant, in.Owner.Tenant)
	var added int
	err = again(ctx, func() error {
		result, err := f.store.Service().Import(ctx, "import", in)
		added += result.Created
		return err
	}, func(err error) bool {
		kind := chat.KindOf(err)
		return kind == chat.Busy || kind == chat.Unknown
	})
	if err != nil {
		return refused(line, err)
	}
	return lineResult{Line: line.number, Added: int64(added)}, nil
}

// refused is the result of a line that can never go in as it stands; any other error
// ends the import.
func refused(line importLine, err error) (lineResult, error) {
	switch chat.KindOf(err) {
	case chat.Internal, chat.Damaged, chat.Busy, chat.Unknown, chat.Unauthenticated:
		return lineResult{}, err
	}
	return lineResult{Line: line.number, Error: err.Error()}, nil
}

func (f *folderImporter) close(ctx context.Context) error { return f.store.Close(ctx) }
