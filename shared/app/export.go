package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/conversation"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// ExportOptions selects what an export holds.
type ExportOptions struct {
	User   string // "" for everybody
	Tenant string

	// WithoutDeleted leaves out deleted threads and messages, which else are there with
	// their texts and the time of their deletion.
	WithoutDeleted bool
}

// ErrNoUser: the user to be exported owns nothing here.
var ErrNoUser = errors.New("no such user")

// Export calls emit with one line a conversation, in the shape that an import reads.
// Each partition is read at one position. It returns how many lines there were.
func Export(ctx context.Context, cfg Config, log *slog.Logger, opts ExportOptions, emit func(line []byte) error) (lines int, err error) {
	s, err := openReader(ctx, cfg, log, withKeys)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	partitions := s.partitions
	if opts.User != "" {
		p := s.partitions[s.Catalog.PartitionOf(s.hasher().Owner(opts.owner()).Slot())]
		if err := s.findUser(ctx, p, opts.owner()); err != nil {
			return 0, err
		}
		partitions = []*partition.Partition{p}
	}
	for _, p := range partitions {
		n, err := s.exportPartition(ctx, p, opts, emit)
		lines += n
		if err != nil {
			return lines, fmt.Errorf("export partition %d: %w", p.Number, err)
		}
	}
	return lines, nil
}

func (o ExportOptions) owner() chat.Owner { return chat.Owner{Tenant: o.Tenant, User: o.User} }

func (s *Store) findUser(ctx context.Context, p *partition.Partition, owner chat.Owner) error {
	return p.Answer(ctx, partition.Freshness{}, func(v *partition.View) error {
		o, ok, err := store.GetOwner(v, s.hasher().Owner(owner))
		if err == nil && (!ok || o.Open+o.Archived+o.Deleted == 0) {
			err = fmt.Errorf("user %q owns no thread here: %w", owner.User, ErrNoUser)
		}
		return err
	})
}

func (s *Store) exportPartition(ctx context.Context, p *partition.Partition, opts ExportOptions, emit func([]byte) error) (lines int, err error) {
	v, err := p.Read(ctx, partition.Freshness{})
	if err != nil {
		return 0, err
	}
	defer v.Close()
	from, to := chat.Slot(0), chat.Slot(1<<16-1)
	if opts.User != "" {
		from = s.hasher().Owner(opts.owner()).Slot()
		to = from
	}
	var buffer []byte
	err = v.EachThread(from, to, func(t *chat.Thread) error {
		if opts.User != "" && t.Owner != opts.owner() || opts.WithoutDeleted && t.Deleted != 0 {
			return nil
		}
		open, err := s.service.OpenThread(ctx, t)
		if err != nil {
			return err
		}
		var messages []chat.OpenMessage
		above := leftOut{}
		err = v.EachMessage(t, func(m *chat.Message) error {
			m.Parent = above.resolve(m.Parent)
			if opts.WithoutDeleted && m.Deleted != 0 {
				above[m.ID.Time] = m.Parent
				return nil
			}
			o, err := s.service.OpenMessage(ctx, t, m)
			messages = append(messages, o)
			return err
		})
		if err != nil {
			return err
		}
		t.Head = above.resolve(t.Head)
		buffer = conversation.Append(buffer[:0], open, messages)
		lines++
		return emit(buffer)
	})
	return lines, err
}

// leftOut holds messages that are left out, by time, with what each of them answered: who
// answered one of them answers that.
type leftOut map[int64]int64

func (l leftOut) resolve(message int64) int64 {
	if parent, ok := l[message]; ok {
		return parent
	}
	return message
}
