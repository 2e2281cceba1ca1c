package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/bobbindb/bobbin/shared/janitor"
	"github.com/bobbindb/bobbin/shared/store"
)

// Status is what `bobbin status` shows.
type Status struct {
	Store      string            `json:"store"`
	Branch     string            `json:"branch"`
	Release    string            `json:"release"`
	Partitions []PartitionStatus `json:"partitions"`

	Threads         uint64 `json:"threads"`
	DeletedThreads  uint64 `json:"deleted_threads"`
	Messages        uint64 `json:"messages"` // not deleted themselves, those of deleted threads among them
	DeletedMessages uint64 `json:"deleted_messages"`
	Users           uint64 `json:"users"`

	TableBytes     int64 `json:"tables_bytes"`    // of the newest checkpoints
	LiveBytes      int64 `json:"live_bytes"`      // of everything that the newest checkpoints reach
	WindowBytes    int64 `json:"window_bytes"`    // kept only for the restore window, segments among them
	CondemnedBytes int64 `json:"condemned_bytes"` // waiting out their grace
	LogBytes       int64 `json:"log_bytes"`       // single commits
}

// PartitionStatus is one partition.
type PartitionStatus struct {
	Partition      int        `json:"partition"`
	Seq            uint64     `json:"seq"`
	Time           *time.Time `json:"time"` // of the last commit; nil before the first
	CheckpointSeq  uint64     `json:"checkpoint_seq"`
	CheckpointTime *time.Time `json:"checkpoint_time"` // of its last commit; nil before the first checkpoint
	Floor          uint64     `json:"floor"`
	TailCommits    int        `json:"tail_commits"`
	TailBytes      int64      `json:"tail_bytes"`
	Tables         int        `json:"tables"`
	TableBytes     int64      `json:"tables_bytes"`
	History        int        `json:"history"`
	Frozen         bool       `json:"frozen"`
}

// when is a commit's time, nil for none.
func when(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	return new(time.Unix(0, nanos).UTC())
}

// ReadStatus opens a store to be read and says how it is.
func ReadStatus(ctx context.Context, cfg Config, log *slog.Logger) (status Status, err error) {
	s, err := openReader(ctx, cfg, log, withoutKeys)
	if err != nil {
		return Status{}, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	return s.Status(ctx)
}

// Status says how the store is.
func (s *Store) Status(ctx context.Context) (Status, error) {
	out := Status{Store: s.Catalog.ID, Branch: s.Catalog.Branch, Release: Version}
	for _, p := range s.partitions {
		if err := p.Probe(ctx); err != nil {
			return out, err
		}
		v, err := p.View()
		if err != nil {
			return out, err
		}
		c, err := store.GetCounters(v)
		_, frozen, err2 := store.GetFreeze(v)
		at := v.Position()
		if err := errors.Join(err, err2, v.Close()); err != nil {
			return out, err
		}
		out.Threads += c.Threads
		out.DeletedThreads += c.DeletedThreads
		out.Messages += c.Messages
		out.DeletedMessages += c.DeadMessages
		out.Users += c.Owners
		m, tail := p.Manifest(), p.Tail()
		out.TableBytes += m.TableBytes
		out.Partitions = append(out.Partitions, PartitionStatus{
			Partition:      p.Number,
			Seq:            uint64(at.Seq),
			Time:           when(at.Time),
			CheckpointSeq:  uint64(m.Seq),
			CheckpointTime: when(m.Time),
			Floor:          uint64(m.Floor),
			TailCommits:    tail.Commits,
			TailBytes:      tail.Bytes,
			Tables:         m.Tables,
			TableBytes:     m.TableBytes,
			History:        len(m.History),
			Frozen:         frozen,
		})
	}
	usage, err := janitor.ReadUsage(ctx, s.janitorOptions())
	if err != nil {
		return out, err
	}
	out.LiveBytes, out.WindowBytes = usage.Live, usage.Window
	out.CondemnedBytes, out.LogBytes = usage.Condemned, usage.Log
	return out, nil
}
