package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/seal"
)

const (
	// abreast is how many records are read, or rewrapped, at the same time.
	abreast = 16
	// maxNamed is how many damaged records are named.
	maxNamed = 100
)

// ErrNotClean: something may still be under the KEK version that is to be retired.
var ErrNotClean = errors.New("keys may still be under this KEK version")

// Rewrap is how far a rewrap has come. It is all that a later step needs.
type Rewrap struct {
	To        Version
	After     string // the last object that is done
	Done      bool
	Seen      int
	Rewrapped int
	Erased    int      // tombstones among those seen
	Damaged   int      // could not be unwrapped; they stay as they are
	Names     []string // of the first damaged ones
}

// RewrapStep wraps up to limit more user keys under the KEK version p.To, those that are
// under a lower one. After an error the step is to be repeated, with what p was before:
// what it did stays done.
func (r *Keyring) RewrapStep(ctx context.Context, p *Rewrap, limit int) error {
	if _, err := r.kek(ctx, p.To); err != nil {
		return fmt.Errorf("rewrap: %w", err)
	}
	page, err := r.o.Bucket.List(ctx, blob.ListOptions{Prefix: UserPrefix, After: p.After, Limit: limit})
	if err != nil {
		return fmt.Errorf("rewrap: %w", err)
	}
	next := *p
	var mu sync.Mutex
	err = each(ctx, page.Entries, func(ctx context.Context, key string) error {
		was, err := r.rewrap(ctx, key, p.To)
		mu.Lock()
		defer mu.Unlock()
		next.Seen++
		switch {
		case errors.Is(err, seal.ErrDamaged), errors.Is(err, ErrRetired):
			next.Damaged++
			next.Names = nameDamaged(next.Names, key)
			return nil
		case err != nil:
			return err
		case was.erased:
			next.Erased++
		case was.kek < p.To:
			next.Rewrapped++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rewrap: %w", err)
	}
	next.After, next.Done = after(p.After, page), !page.More
	*p = next
	return nil
}

// each does something with every entry, some at a time, and returns the first error.
func each(ctx context.Context, entries []blob.Entry, do func(ctx context.Context, key string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(abreast)
	for _, e := range entries {
		group.Go(func() error { return do(ctx, e.Key) })
	}
	return group.Wait()
}

func nameDamaged(names []string, key string) []string {
	if len(names) < maxNamed {
		names = append(names[:len(names):len(names)], key)
	}
	return names
}

// after is the last object of a page, or what it was where the page is empty.
func after(last string, page blob.Listing) string {
	if n := len(page.Entries); n > 0 {
		return page.Entries[n-1].Key
	}
	return last
}

// rewrap wraps one user key under a higher KEK version, and returns what it was. A record
// that somebody else changes is looked at again: it may be dead by now.
func (r *Keyring) rewrap(ctx context.Context, key string, to Version) (*userRecord, error) {
	owner, id, ok := parseUserKey(key)
	if !ok {
		return nil, fmt.Errorf("%s: no name of a user key: %w", key, seal.ErrDamaged)
	}
	for range tries {
		object, err := r.get(ctx, key)
		if err != nil {
			return nil, err
		}
		record, err := decodeUser(object.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if record.erased || record.kek >= to {
			return record, nil
		}
		secret, err := r.unwrap(ctx, record, owner, id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		kek, err := r.kek(ctx, to)
		if err != nil {
			return nil, err
		}
		next := userRecord{kek: to}
		next.wrapped, err = kek.Wrap(secret, r.associated(owner, id, to))
		clear(secret)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		_, err = write(ctx, r.o.Bucket, key, next.encode(), blob.IfMatch(object.ETag))
		if err == nil {
			return record, nil
		}
		if !errors.Is(err, blob.ErrLostSwap) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w", key, blob.ErrLostSwap)
}

// Survey is a listing of a bucket's user keys by the KEK version that wraps them. It is
// all that a later step needs. Times are Dates of the bucket.
type Survey struct {
	Began   time.Time
	Ended   time.Time // of the last step; of the whole once it is Done
	After   string    // the last object that was seen
	Done    bool
	Under   map[Version]int // keys in use
	Erased  int
	Damaged int
	Names   []string // of the first damaged ones
}

// Step looks at up to limit more user keys of a bucket: the store's own, or one of a
// registered backup. After an error it is to be repeated; s is what it was.
func (s *Survey) Step(ctx context.Context, bucket blob.Bucket, limit int) error {
	page, err := bucket.List(ctx, blob.ListOptions{Prefix: UserPrefix, After: s.After, Limit: limit})
	if err != nil {
		return fmt.Errorf("survey user keys: %w", err)
	}
	next := *s
	next.Under = map[Version]int{}
	for v, n := range s.Under {
		next.Under[v] = n
	}
	if next.Began.IsZero() {
		next.Began = page.Date
	}
	next.Ended = page.Date
	var mu sync.Mutex
	err = each(ctx, page.Entries, func(ctx context.Context, key string) error {
		object, err := bucket.Get(ctx, key)
		if err != nil {
			return err
		}
		record, err := decodeUser(object.Body)
		_, _, named := parseUserKey(key)
		mu.Lock()
		defer mu.Unlock()
		if object.Date.After(next.Ended) {
			next.Ended = object.Date
		}
		switch {
		case err != nil || !named:
			next.Damaged++
			next.Names = nameDamaged(next.Names, key)
		case record.erased:
			next.Erased++
		default:
			next.Under[record.kek]++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("survey user keys: %w", err)
	}
	next.After, next.Done = after(s.After, page), !page.More
	*s = next
	return nil
}

// Clean reports whether the survey is whole and found every key in use above a KEK
// version.
func (s *Survey) Clean(v Version) bool {
	if !s.Done || s.Damaged > 0 {
		return false
	}
	for under := range s.Under {
		if under <= v {
			return false
		}
	}
	return true
}

// retirable says why a KEK version must stay: both surveys are to be clean, and further
// apart than a key is kept in memory anywhere. A Date may leave out what is below a
// second.
func retirable(v Version, first, second *Survey) error {
	if !first.Clean(v) || !second.Clean(v) {
		return fmt.Errorf("%w: a survey found some, or did not end", ErrNotClean)
	}
	if apart := second.Began.Sub(first.Ended); apart <= Age+time.Second {
		return fmt.Errorf("%w: the surveys are %s apart, which is not over %s", ErrNotClean, apart, Age+time.Second)
	}
	return nil
}
