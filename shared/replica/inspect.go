package replica

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

var _ chat.Inspector = (*Replica)(nil)

// look calls use with a picture of a partition that holds whatever was acknowledged. It
// may call use twice, when a table was gone the first time.
func (r *Replica) look(ctx context.Context, number int, use func(*partition.View) error) error {
	return answerOf(r.Partitions[number].Answer(ctx, partition.Freshness{}, use))
}

// Stats implements chat.Inspector.
func (r *Replica) Stats(ctx context.Context) (out chat.Stats, pos chat.Position, err error) {
	for number := range r.Partitions {
		one := chat.PartitionStats{Partition: number}
		err := r.look(ctx, number, func(v *partition.View) error {
			c, err := store.GetCounters(v)
			one.Seq = uint64(v.Position().Seq)
			one.Threads, one.DeletedThreads = c.Threads, c.DeletedThreads
			one.Messages, one.DeletedMessages = c.Messages, c.DeadMessages
			one.Users = c.Owners
			return err
		})
		if err != nil {
			return chat.Stats{}, chat.Position{}, err
		}
		pos.Branch = r.Partitions[number].Branch
		pos.Seqs = append(pos.Seqs, chat.PartitionSeq{Partition: number, Seq: one.Seq})
		out.Threads += one.Threads
		out.Messages += one.Messages
		out.Users += one.Users
		out.Partitions = append(out.Partitions, one)
	}
	return out, pos, nil
}

// Users implements chat.Inspector. Its position is that of the count, which is read
// first: what is listed is as new, or newer.
func (r *Replica) Users(ctx context.Context, c chat.Cursor) (page chat.UserPage, pos chat.Position, err error) {
	stats, pos, err := r.Stats(ctx)
	if err != nil {
		return page, pos, err
	}
	at, err := r.userCursor(ctx, c)
	if err != nil {
		return page, pos, err
	}
	owners, place, err := window(c, at, func(from, to []byte, reverse bool, n int) ([]store.OwnerAt, error) {
		return r.owners(ctx, from, to, reverse, n)
	})
	if err != nil {
		return page, pos, err
	}
	page.Page = place
	page.Total = int(stats.Users)
	for _, o := range owners {
		page.Users = append(page.Users, chat.User{
			Key: o.Hash, Owner: o.Owner.Owner, Created: o.Created, Threads: o.Open + o.Archived, Deleted: o.Deleted,
		})
	}
	return page, pos, nil
}

// userCursor is the key of the owner that a page begins at, nil without one.
func (r *Replica) userCursor(ctx context.Context, c chat.Cursor) ([]byte, error) {
	text := c.Before + c.After + c.Anchor // at most one is set
	if text == "" {
		return nil, nil
	}
	var owner chat.Digest
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != len(chat.UserKey{}) {
		return nil, chat.ErrUnknownAnchor
	}
	copy(owner[:], hash)
	return store.KeyOwner(owner), r.look(ctx, r.Store.PartitionOf(owner.Slot()), func(v *partition.View) error {
		_, ok, err := store.GetOwner(v, owner)
		if err == nil && !ok {
			err = chat.ErrUnknownAnchor
		}
		return err
	})
}

// owners lists owners over all partitions, in the order of their slots.
func (r *Replica) owners(ctx context.Context, from, to []byte, reverse bool, n int) (owners []store.OwnerAt, err error) {
	type span struct {
		partition int
		from, to  []byte
	}
	var spans []span
	for _, s := range r.Store.Slots {
		first, end := store.SlotRange(s.From, s.To)
		if from != nil && bytes.Compare(first, from) < 0 {
			first = from
		}
		if to != nil && bytes.Compare(end, to) > 0 {
			end = to
		}
		if bytes.Compare(first, end) < 0 {
			spans = append(spans, span{s.Partition, first, end})
		}
	}
	if reverse {
		slices.Reverse(spans)
	}
	for _, s := range spans {
		if len(owners) == n {
			break
		}
		var more []store.OwnerAt
		err := r.look(ctx, s.partition, func(v *partition.View) (err error) {
			more, err = v.Owners(s.from, s.to, reverse, n-len(owners))
			return err
		})
		if err != nil {
			return nil, err
		}
		owners = append(owners, more...)
	}
	return owners, nil
}

// Keys implements chat.Inspector.
func (r *Replica) Keys(ctx context.Context, q chat.KeyQuery) (page chat.KeyPage, pos chat.Position, err error) {
	if q.Partition < 0 || q.Partition >= len(r.Partitions) {
		return page, pos, chat.ErrKeyNotFound
	}
	low, high := store.PrefixRange(q.Prefix)
	err = r.look(ctx, q.Partition, func(v *partition.View) error {
		pos = r.positionOf(q.Partition, v)
		at, err := keyCursor(v, q)
		if err != nil {
			return err
		}
		keys, place, err := window(q.Cursor, at, func(from, to []byte, reverse bool, n int) ([]store.KeySize, error) {
			if from == nil {
				from = low
			}
			if to == nil {
				to = high
			}
			return v.Keys(from, to, reverse, n)
		})
		page = chat.KeyPage{Page: place}
		for _, k := range keys {
			page.Keys = append(page.Keys, chat.StoredKey{Key: k.Key, Kind: store.KindOf(k.Key), Size: k.Size})
		}
		return err
	})
	return page, pos, err
}

// positionOf is the position of a picture of one partition.
func (r *Replica) positionOf(number int, v *partition.View) chat.Position {
	seq := chat.PartitionSeq{Partition: number, Seq: uint64(v.Position().Seq)}
	return chat.Position{Branch: r.Partitions[number].Branch, Seqs: []chat.PartitionSeq{seq}}
}

// keyCursor is the key that a page begins at, nil without one.
func keyCursor(v *partition.View, q chat.KeyQuery) ([]byte, error) {
	text := q.Before + q.After + q.Anchor // at most one is set
	if text == "" {
		return nil, nil
	}
	key, err := hex.DecodeString(text)
	if err != nil || !bytes.HasPrefix(key, q.Prefix) {
		return nil, chat.ErrUnknownAnchor
	}
	_, ok, err := v.Get(key)
	if err == nil && !ok {
		err = chat.ErrUnknownAnchor
	}
	return key, err
}

// Key implements chat.Inspector.
func (r *Replica) Key(ctx context.Context, number int, key []byte) (out chat.StoredKey, pos chat.Position, err error) {
	if number < 0 || number >= len(r.Partitions) {
		return out, pos, chat.ErrKeyNotFound
	}
	out = chat.StoredKey{Key: key, Kind: store.KindOf(key)}
	err = r.look(ctx, number, func(v *partition.View) error {
		pos = r.positionOf(number, v)
		value, ok, err := v.Get(key)
		if err == nil && !ok {
			err = chat.ErrKeyNotFound
		}
		out.Size = len(value)
		return err
	})
	return out, pos, err
}

// window reads the page that a cursor asks for: in ascending order, and without a
// cursor from the first. at is the cursor's key, which is there. scan lists up to n
// items of [from, to), the last ones first when reverse is set; nil is no bound.
func window[T any](c chat.Cursor, at []byte, scan func(from, to []byte, reverse bool, n int) ([]T, error)) (items []T, page chat.Page, err error) {
	if c.Before != "" || c.Anchor != "" {
		if items, err = scan(nil, at, true, c.Limit+1); err != nil {
			return nil, page, err
		}
		if page.HasBefore = len(items) > c.Limit; page.HasBefore {
			items = items[:c.Limit]
		}
		slices.Reverse(items)
	}
	if c.Before != "" {
		page.HasAfter = true
		return items, page, nil
	}
	from, most := at, c.Limit
	switch {
	case c.After != "":
		from, page.HasBefore = append(slices.Clone(at), 0), true
	case c.Anchor != "":
		most++
	}
	more, err := scan(from, nil, false, most+1)
	if err != nil {
		return nil, page, err
	}
	if page.HasAfter = len(more) > most; page.HasAfter {
		more = more[:most]
	}
	return append(items, more...), page, nil
}
