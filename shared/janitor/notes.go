package janitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

const notesFormat = 1

// notes are what the janitor wrote down about a partition: the object janitor/<partition>.
// What belongs to no partition is spread over all by hash.
type notes struct {
	Format int    `json:"format"`
	Nonce  string `json:"nonce"` // new at every swap

	// Floors holds, by branch, floors and when the manifest was seen to have them,
	// oldest first: the greatest that has stood for long, and those after it.
	Floors map[string][]floorSeen `json:"floors"`

	// Unreached holds, by the run that saw them first, what nothing keeps alive. A key
	// that ends in a slash is a branch that is gone.
	Unreached []unreached `json:"unreached"`

	tag  blob.ETag // "" where there are none yet
	read *notes    // as they are in the bucket
}

type floorSeen struct {
	Floor commitlog.Seq `json:"floor"`
	Date  time.Time     `json:"date"` // of the answer that said it
}

type unreached struct {
	Date time.Time `json:"date"` // of the newest answer of the run that saw it
	Keys []string  `json:"keys"` // ascending
}

func notesKey(partition int) string { return fmt.Sprintf("janitor/%03d", partition) }

// shard is the partition whose notes hold a key.
func shard(key string, partitions int) int {
	if o, ok := parse(key); ok && o.partition < partitions {
		return o.partition
	}
	return int(crc32.ChecksumIEEE([]byte(key)) % uint32(partitions))
}

func readNotes(ctx context.Context, bucket blob.Bucket, partitions int) ([]*notes, error) {
	all := make([]*notes, partitions)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for p := range all {
		group.Go(func() (err error) {
			all[p], err = readNote(ctx, bucket, notesKey(p))
			return err
		})
	}
	return all, group.Wait()
}

func readNote(ctx context.Context, bucket blob.Bucket, key string) (*notes, error) {
	n := &notes{Format: notesFormat}
	o, err := bucket.Get(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read notes %s: %w", key, err)
	default:
		if err := json.Unmarshal(o.Body, n); err != nil {
			return nil, fmt.Errorf("read notes %s: %w: %w", key, commitlog.ErrDamaged, err)
		}
		n.tag = o.ETag
	}
	if n.Format != notesFormat {
		return nil, fmt.Errorf("read notes %s: format %d, this release reads %d: %w", key, n.Format, notesFormat, commitlog.ErrUnknownFormat)
	}
	if n.Floors == nil {
		n.Floors = map[string][]floorSeen{}
	}
	n.read = &notes{Floors: maps.Clone(n.Floors), Unreached: n.Unreached}
	return n, nil
}

// see notes the floor that an answer of the bucket gave.
func (n *notes) see(branch string, m *checkpoint.Manifest) {
	floors := n.Floors[branch]
	if m.Floor == 0 || len(floors) > 0 && floors[len(floors)-1].Floor >= m.Floor {
		return
	}
	n.Floors[branch] = append(slices.Clone(floors), floorSeen{m.Floor, m.Date.UTC()})
}

// stood is the greatest floor of a branch that was seen at a date or before, 0 for
// none. Those under it are forgotten.
func (n *notes) stood(branch string, date time.Time) commitlog.Seq {
	floors := n.Floors[branch]
	for i := len(floors) - 1; i >= 0; i-- {
		if !floors[i].Date.After(date) {
			n.Floors[branch] = floors[i:]
			return floors[i].Floor
		}
	}
	return 0
}

// keep takes over what a run found unreached: what was known stays under its date,
// what is reached by now or gone is forgotten.
func (n *notes) keep(now map[string]bool, date time.Time) {
	var kept []unreached
	for _, u := range n.Unreached {
		var keys []string
		for _, key := range u.Keys {
			if now[key] {
				keys = append(keys, key)
				delete(now, key)
			}
		}
		if len(keys) > 0 {
			kept = append(kept, unreached{u.Date, keys})
		}
	}
	if len(now) > 0 {
		kept = append(kept, unreached{date.UTC(), slices.Sorted(maps.Keys(now))})
	}
	n.Unreached = kept
}

// condemned lists what was noted a grace ago or earlier.
func (n *notes) condemned(now time.Time, grace time.Duration) []string {
	var keys []string
	for _, u := range n.Unreached {
		age := now.Sub(u.Date)
		for _, key := range u.Keys {
			if age >= grace && (age >= exportAge || !strings.HasPrefix(key, exportsPrefix)) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// forget drops a key that was deleted.
func (n *notes) forget(gone map[string]bool) {
	var kept []unreached
	for _, u := range n.Unreached {
		keys := slices.DeleteFunc(slices.Clone(u.Keys), func(key string) bool { return gone[key] })
		if len(keys) > 0 {
			kept = append(kept, unreached{u.Date, keys})
		}
	}
	n.Unreached = kept
}

// write swaps the notes if they changed. Another janitor's swap in between is an error:
// the next run goes on from what that one wrote.
func (n *notes) write(ctx context.Context, bucket blob.Bucket, partition int, nonce func() string) error {
	if reflect.DeepEqual(n.Floors, n.read.Floors) && sameUnreached(n.Unreached, n.read.Unreached) {
		return nil
	}
	n.Nonce = nonce()
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode notes: %w", err)
	}
	when := blob.IfAbsent()
	if n.tag != "" {
		when = blob.IfMatch(n.tag)
	}
	_, err = bucket.Put(ctx, notesKey(partition), body, when)
	if err == nil {
		return nil
	}
	// An unclear answer is settled by reading back: the nonce is ours or it is not.
	if found, readErr := readNote(ctx, bucket, notesKey(partition)); readErr == nil && found.Nonce == n.Nonce {
		return nil
	}
	return fmt.Errorf("write notes %s: %w", notesKey(partition), err)
}

func sameUnreached(a, b []unreached) bool {
	return slices.EqualFunc(a, b, func(a, b unreached) bool {
		return a.Date.Equal(b.Date) && slices.Equal(a.Keys, b.Keys)
	})
}
