package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/bobbindb/bobbin/shared/retention"
)

// PurgeReport is what `bobbin purge` did, or would do.
type PurgeReport struct {
	Store string `json:"store"`
	retention.Report
}

// CountDue reports what is due to be purged. It changes nothing.
func CountDue(ctx context.Context, cfg Config, log *slog.Logger) (report PurgeReport, err error) {
	s, err := openReader(ctx, cfg, log, withoutKeys)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	report.Store = s.Catalog.ID
	report.Report, err = s.purger.Count(ctx)
	return report, err
}

// Purge purges what is due. What it reports with an error was done.
func Purge(ctx context.Context, cfg Config, log *slog.Logger) (report PurgeReport, err error) {
	s, err := openWriter(ctx, cfg, log, withoutKeys, (*Store).start)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	report.Store = s.Catalog.ID
	report.Report, err = s.purger.Purge(ctx, nil)
	return report, err
}
