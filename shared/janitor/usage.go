package janitor

import (
	"context"
	"fmt"
	"time"
)

// Usage is how many bytes a store's objects take, by what keeps them.
type Usage struct {
	Live      int64     // the newest state of every branch
	Window    int64     // kept by the restore window alone
	Pinned    int64     // kept by pins and forks alone
	Log       int64     // single commits
	Condemned int64     // kept by nothing, or exports on their day
	Date      time.Time // the bucket's
}

// ReadUsage reads what a store's objects take. It writes nothing.
func ReadUsage(ctx context.Context, opts Options) (Usage, error) {
	opts.fill()
	found, err := list(ctx, opts.Bucket)
	if err != nil {
		return Usage{}, fmt.Errorf("measure store: %w", err)
	}
	s, err := look(ctx, opts.Bucket, opts.Store)
	if err != nil {
		return Usage{}, fmt.Errorf("measure store: %w", err)
	}
	kept, err := s.mark(ctx, opts.Bucket, opts.Tables)
	if err != nil {
		return Usage{}, fmt.Errorf("measure store: %w", err)
	}
	u := Usage{Date: found.date}
	for _, e := range found.entries {
		switch kept.class(e.Key) {
		case classLive:
			u.Live += e.Size
		case classWindow:
			u.Window += e.Size
		case classPinned:
			u.Pinned += e.Size
		case classLog:
			u.Log += e.Size
		default:
			u.Condemned += e.Size
		}
	}
	return u, nil
}
