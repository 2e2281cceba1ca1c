package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/conversation"
	"github.com/bobbindb/bobbin/shared/partition"
)

// ExportOptions selects what an export holds.
type ExportOptions struct {
	User   string // "" for everybody
	Tenant string
}

// Export calls emit with one line a conversation, in the shape that an import reads.
// Each partition is read at one position. It returns how many lines there were.
func Export(ctx context.Context, cfg Config, log *slog.Logger, opts ExportOptions, emit func(line []byte) error) (lines int, err error) {
	s, err := openReader(ctx, cfg, log)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	for _, p := range s.partitions {
		n, err := s.exportPartition(ctx, p, opts, emit)
		lines += n
		if err != nil {
			return lines, fmt.Errorf("export partition %d: %w", p.Number, err)
		}
	}
	return lines, nil
}

func (s *Store) exportPartition(ctx context.Context, p *partition.Partition, opts ExportOptions, emit func([]byte) error) (lines int, err error) {
	v, err := p.Read(ctx, partition.Freshness{})
	if err != nil {
		return 0, err
	}
	defer v.Close()
	from, to := chat.Slot(0), chat.Slot(1<<16-1)
	if opts.User != "" {
		from = s.hasher().Owner(chat.Owner{Tenant: opts.Tenant, User: opts.User}).Slot()
		to = from
	}
	var buffer []byte
	err = v.EachThread(from, to, func(t *chat.Thread) error {
		if opts.User != "" && (t.Owner != chat.Owner{Tenant: opts.Tenant, User: opts.User}) {
			return nil
		}
		open, err := s.service.OpenThread(ctx, t)
		if err != nil {
			return err
		}
		var messages []chat.OpenMessage
		err = v.EachMessage(t, func(m *chat.Message) error {
			o, err := s.service.OpenMessage(ctx, t, m)
			messages = append(messages, o)
			return err
		})
		if err != nil {
			return err
		}
		buffer = conversation.Append(buffer[:0], open, messages)
		lines++
		return emit(buffer)
	})
	return lines, err
}
