// Package catalog holds what a store is: its id, its salt, its partitions, and the
// branches and pins that keep objects alive.
package catalog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// StoreKey and RootsKey are where a store's own two objects lie.
const (
	StoreKey = "bobbin.json"
	RootsKey = "roots.json"
)

const format = 1

// ErrNoStore: the bucket holds no store.
var ErrNoStore = errors.New("no store here")

// Store is bobbin.json: what every process on a store must agree on.
type Store struct {
	Format int         `json:"format"`
	ID     string      `json:"store"`
	Salt   []byte      `json:"salt"`
	Slots  []SlotRange `json:"slots"`  // ascending, without gaps
	Branch string      `json:"branch"` // the active one
	Moving *Move       `json:"moving,omitempty"`

	ETag blob.ETag `json:"-"`
}

// SlotRange maps slots to a partition.
type SlotRange struct {
	From      chat.Slot `json:"from"`
	To        chat.Slot `json:"to"` // inclusive
	Partition int       `json:"partition"`
}

// Move is a change of the active branch under way.
type Move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Roots is roots.json: whatever keeps objects alive beside the manifests.
type Roots struct {
	Format   int      `json:"format"`
	Store    string   `json:"store"` // the id of the store that they are of
	Nonce    string   `json:"nonce"` // new at every swap, so that equal content never gives an equal tag
	Branches []Branch `json:"branches"`
	Pins     []Pin    `json:"pins"`

	ETag blob.ETag `json:"-"`
}

// Branch is a branch and the checkpoints that it was made on.
type Branch struct {
	Name  string `json:"name"`
	Forks []Root `json:"forks,omitempty"` // one a partition; none for a store's first branch
}

// Pin is a named point that is kept.
type Pin struct {
	Name  string `json:"name"`
	Roots []Root `json:"roots"`
}

// Root is a checkpoint of a partition, and the commit up to which the log behind it is
// kept.
type Root struct {
	Branch     string         `json:"branch"`
	Partition  int            `json:"partition"`
	Checkpoint string         `json:"checkpoint"`
	Seq        commitlog.Seq  `json:"seq"`  // of the checkpoint
	End        commitlog.Seq  `json:"end"`  // the last commit kept
	Hash       commitlog.Hash `json:"hash"` // of the commit at End
}

// MaxPartitions is the most a store can have: one digit more would not fit its keys.
const MaxPartitions = 1000

// New describes a store that does not exist yet.
func New(partitions int) (*Store, error) {
	if partitions < 1 || partitions > MaxPartitions {
		return nil, fmt.Errorf("%d partitions: must be 1 to %d", partitions, MaxPartitions)
	}
	s := &Store{Format: format, ID: blob.Nonce(26), Salt: make([]byte, 32), Branch: "main-" + blob.Nonce(8)}
	rand.Read(s.Salt)
	const slots = 1 << 16
	for p := range partitions {
		s.Slots = append(s.Slots, SlotRange{
			From:      chat.Slot(p * slots / partitions),
			To:        chat.Slot((p+1)*slots/partitions - 1),
			Partition: p,
		})
	}
	return s, nil
}

// Partitions is how many partitions the store has.
func (s *Store) Partitions() int {
	n := 0
	for _, r := range s.Slots {
		n = max(n, r.Partition+1)
	}
	return n
}

// PartitionOf is the partition that holds a slot.
func (s *Store) PartitionOf(slot chat.Slot) int {
	for _, r := range s.Slots {
		if slot <= r.To {
			return r.Partition
		}
	}
	return 0
}

// Prefix is where a branch's partition keeps its objects, without a slash at its end.
func Prefix(branch string, partition int) string {
	return fmt.Sprintf("branches/%s/p%03d", branch, partition)
}

// Claim writes the first roots.json of a store that is being made, its first object, so
// that a store never is without one. Where an earlier attempt left one, or another
// process is making the store at this moment, the store takes on the id and the branch
// of that one: whoever then writes bobbin.json first has made it. It returns
// blob.ErrExists where there is a store.
func Claim(ctx context.Context, bucket blob.Bucket, s *Store) error {
	first := &Roots{Format: format, Store: s.ID, Branches: []Branch{{Name: s.Branch}}, Pins: []Pin{}}
	_, err := putRoots(ctx, bucket, first, blob.IfAbsent())
	if err == nil || !errors.Is(err, blob.ErrLostSwap) {
		return err
	}
	there, err := readRoots(ctx, bucket)
	if err != nil {
		return err
	}
	if there.Store == "" || len(there.Branches) != 1 || len(there.Pins) > 0 {
		if _, err := Read(ctx, bucket); !errors.Is(err, ErrNoStore) {
			return cmp.Or(err, blob.ErrExists)
		}
		return fmt.Errorf("%s is missing, and %s is not that of a new store: %w", StoreKey, RootsKey, commitlog.ErrDamaged)
	}
	s.ID, s.Branch = there.Store, there.Branches[0].Name
	return nil
}

// Create writes bobbin.json, the last act of making a store, after roots.json if Claim
// has not done so. It returns blob.ErrExists when there is a store. After
// blob.ErrUnknownOutcome, call it again with the same Store.
func Create(ctx context.Context, bucket blob.Bucket, s *Store) error {
	claimed := *s
	if err := Claim(ctx, bucket, &claimed); err != nil {
		return fmt.Errorf("create %s: %w", StoreKey, err)
	}
	if claimed.ID != s.ID || claimed.Branch != s.Branch {
		return fmt.Errorf("create %s: %s is that of store %s: %w", StoreKey, RootsKey, claimed.ID, blob.ErrExists)
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", StoreKey, err)
	}
	stored, err := blob.Settle(ctx, bucket, blob.Write{Key: StoreKey, Body: body, When: blob.IfAbsent(), Ours: func(found []byte) bool {
		var there Store
		return json.Unmarshal(found, &there) == nil && there.ID == s.ID && bytes.Equal(there.Salt, s.Salt)
	}})
	if errors.Is(err, blob.ErrLostSwap) {
		err = blob.ErrExists
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", StoreKey, err)
	}
	s.ETag = stored.ETag
	return nil
}

// Read reads bobbin.json. It returns ErrNoStore when there is none, and damage where
// what else a store has is there.
func Read(ctx context.Context, bucket blob.Bucket) (*Store, error) {
	o, err := bucket.Get(ctx, StoreKey)
	if errors.Is(err, blob.ErrNotExist) {
		if o, err = readAgain(ctx, bucket); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", StoreKey, err)
	}
	s := &Store{ETag: o.ETag}
	if err := decode(o.Body, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", StoreKey, err)
	}
	if s.Format != format {
		return nil, fmt.Errorf("read %s: format %d, this release reads %d: %w", StoreKey, s.Format, format, commitlog.ErrUnknownFormat)
	}
	return s, s.check()
}

// readAgain reads bobbin.json after it was not there. An attempt to make a store leaves
// roots.json and manifests behind; whatever else lies under a store's keys is of one that
// was in use. Another process may have made it since, so it is looked for once more.
func readAgain(ctx context.Context, bucket blob.Bucket) (blob.Object, error) {
	orphan, err := findOrphan(ctx, bucket)
	if err != nil {
		return blob.Object{}, err
	}
	if orphan == "" {
		return blob.Object{}, ErrNoStore
	}
	o, err := bucket.Get(ctx, StoreKey)
	if errors.Is(err, blob.ErrNotExist) {
		err = fmt.Errorf("%s is missing, and other objects of a store are there, like %s: %w", StoreKey, orphan, commitlog.ErrDamaged)
	}
	return o, err
}

// findOrphan returns the key of an object that only a store in use has, "" if there is
// none.
func findOrphan(ctx context.Context, bucket blob.Bucket) (string, error) {
	for _, prefix := range []string{"tables/", "janitor/", "branches/", "keys/users/"} {
		for page, err := range blob.Pages(ctx, bucket, blob.ListOptions{Prefix: prefix}) {
			if err != nil {
				return "", fmt.Errorf("list %s: %w", prefix, err)
			}
			for _, e := range page.Entries {
				if prefix != "branches/" || !strings.HasSuffix(e.Key, "/manifest") {
					return e.Key, nil
				}
			}
		}
	}
	return "", nil
}

// check refuses a slot map that leaves a slot without a partition.
func (s *Store) check() error {
	next := 0
	for _, r := range s.Slots {
		if int(r.From) != next || r.To < r.From || r.Partition < 0 || r.Partition >= MaxPartitions {
			return fmt.Errorf("%s: slots from %d: %w", StoreKey, next, commitlog.ErrDamaged)
		}
		next = int(r.To) + 1
	}
	if next != 1<<16 || s.ID == "" || len(s.Salt) < 16 || s.Branch == "" {
		return fmt.Errorf("%s is incomplete: %w", StoreKey, commitlog.ErrDamaged)
	}
	return nil
}

// ReadRoots reads a store's roots.json. Every store has one: where it is missing, nobody
// can say any more what branches and pins keep alive.
func ReadRoots(ctx context.Context, bucket blob.Bucket, s *Store) (*Roots, error) {
	r, err := readRoots(ctx, bucket)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: %w", RootsKey, commitlog.ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	if r.Store != s.ID {
		return nil, fmt.Errorf("read %s: it is that of store %q, not %q: %w", RootsKey, r.Store, s.ID, commitlog.ErrDamaged)
	}
	return r, nil
}

func readRoots(ctx context.Context, bucket blob.Bucket) (*Roots, error) {
	o, err := bucket.Get(ctx, RootsKey)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", RootsKey, err)
	}
	r := &Roots{ETag: o.ETag}
	if err := decode(o.Body, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", RootsKey, err)
	}
	if r.Format != format {
		return nil, fmt.Errorf("read %s: format %d, this release reads %d: %w", RootsKey, r.Format, format, commitlog.ErrUnknownFormat)
	}
	// A field that this release does not know would be lost at its next swap, and with
	// it what it keeps alive.
	strict := json.NewDecoder(bytes.NewReader(o.Body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&Roots{}); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", RootsKey, commitlog.ErrUnknownFormat, err)
	}
	return r, nil
}

// decode reads JSON as it was written. (The standard library reads bytes that are no
// text as some other text.)
func decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return fmt.Errorf("it is no text: %w", commitlog.ErrDamaged)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", commitlog.ErrDamaged, err)
	}
	return nil
}

// SwapRoots replaces the roots that were read by next, under a fresh nonce. It returns
// blob.ErrLostSwap where another process was faster, and blob.ErrUnknownOutcome where
// the bucket does not say.
func SwapRoots(ctx context.Context, bucket blob.Bucket, old *Roots, next Roots) (*Roots, error) {
	return putRoots(ctx, bucket, &next, blob.IfMatch(old.ETag))
}

func putRoots(ctx context.Context, bucket blob.Bucket, r *Roots, when blob.Condition) (*Roots, error) {
	r.Nonce = blob.Nonce(26)
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", RootsKey, err)
	}
	stored, err := blob.Settle(ctx, bucket, blob.Write{Key: RootsKey, Body: body, When: when, Ours: func(found []byte) bool {
		var there Roots
		return json.Unmarshal(found, &there) == nil && there.Nonce == r.Nonce
	}})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", RootsKey, err)
	}
	r.ETag = stored.ETag
	return r, nil
}
