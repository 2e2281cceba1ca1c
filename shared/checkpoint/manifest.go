package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Errors of the manifest that a caller acts on.
var (
	// ErrGone: there is no manifest, so the branch is gone. It never means "empty".
	ErrGone = errors.New("branch is gone")

	// ErrRefused: the new manifest would take something back that the old one
	// promises. Nothing was written.
	ErrRefused = errors.New("manifest refused")
)

const manifestFormat = 1

// Manifest is the one object of a partition that changes. It says where the newest
// checkpoint is and from where on the log is kept.
type Manifest struct {
	Format int `json:"format"`

	// State is "" for a branch in use. Other states are for whoever needs them; a
	// reader that does not know one must not serve the branch.
	State string `json:"state,omitempty"`

	Store      string `json:"store"`
	Branch     string `json:"branch"`
	Partition  int    `json:"partition"`
	Generation uint64 `json:"generation"` // counts swaps, from 1
	Nonce      string `json:"nonce"`      // new at every swap, so that equal content never gives an equal tag

	Checkpoint string         `json:"checkpoint"` // key of the checkpoint object; "" at seq 0: the empty store
	Seq        commitlog.Seq  `json:"seq"`        // of the last commit in the checkpoint
	Hash       commitlog.Hash `json:"hash"`       // of that commit; the genesis hash at seq 0
	Time       int64          `json:"time"`       // of that commit, in nanoseconds since 1970 UTC

	// Floor is at most Seq. Commits below it may be deleted, and a proof needs a
	// manifest whose floor is at most the seq it proves.
	Floor commitlog.Seq `json:"floor"`

	Formats FormatRange `json:"formats"`
	Written int64       `json:"written"` // when, in nanoseconds since 1970 UTC, by the writer's clock
	Release string      `json:"release"` // that wrote this manifest

	Tables      int   `json:"tables"`       // tables of the checkpoint
	TableBytes  int64 `json:"table_bytes"`  // their sizes together
	ObjectBytes int64 `json:"object_bytes"` // size of the checkpoint object

	// History holds earlier checkpoints, oldest first.
	History []Past `json:"history"`

	ETag blob.ETag `json:"-"` // of the version read or written
	Date time.Time `json:"-"` // the bucket's clock when it was read or written
}

// FormatRange is the oldest and the newest format of the records in a checkpoint.
type FormatRange struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Past is an earlier checkpoint that is kept for restores.
type Past struct {
	Key  string         `json:"key"` // "" at seq 0: the empty store
	Seq  commitlog.Seq  `json:"seq"`
	Time int64          `json:"time"` // of the commit at Seq, in nanoseconds since 1970 UTC; 0 at seq 0
	Hash commitlog.Hash `json:"hash"`
}

// ManifestKey is where the manifest of a partition lies. A prefix is
// "branches/<branch>/p<000>", without a slash at its end.
func ManifestKey(prefix string) string { return prefix + "/manifest" }

// Read reads the manifest under prefix. A manifest that is missing is ErrGone.
func Read(ctx context.Context, bucket blob.Bucket, prefix string) (*Manifest, error) {
	object, err := bucket.Get(ctx, ManifestKey(prefix))
	if errors.Is(err, blob.ErrNotExist) {
		return nil, fmt.Errorf("read manifest %s: %w: %w", ManifestKey(prefix), ErrGone, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", ManifestKey(prefix), err)
	}
	m, err := decodeManifest(object.Body)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", ManifestKey(prefix), err)
	}
	m.ETag, m.Date = object.ETag, object.Date
	return m, nil
}

// Reread returns the manifest under prefix as it is now. On a folder it costs one
// stat when old is still it, and then the result is old itself; else it is a Read.
func Reread(ctx context.Context, bucket blob.Bucket, prefix string, old *Manifest) (*Manifest, error) {
	folder, ok := bucket.(blob.Folder)
	if ok && old != nil && folder.Unchanged(ManifestKey(prefix), old.ETag) {
		return old, nil
	}
	return Read(ctx, bucket, prefix)
}

// Create writes the first manifest of a partition, generation 1. It returns
// blob.ErrExists when another process made one.
func Create(ctx context.Context, bucket blob.Bucket, prefix string, first Manifest) (*Manifest, error) {
	if err := first.check(); err != nil {
		return nil, fmt.Errorf("create manifest of %s: %w", prefix, err)
	}
	first.Format, first.Generation, first.Nonce = manifestFormat, 1, newNonce()
	m, err := putManifest(ctx, bucket, prefix, blob.IfAbsent(), &first)
	if errors.Is(err, blob.ErrLostSwap) {
		err = fmt.Errorf("generation %d is there: %w", m.Generation, blob.ErrExists)
	}
	if err != nil {
		return nil, fmt.Errorf("create manifest of %s: %w", prefix, err)
	}
	return m, nil
}

// Swap replaces the manifest old by next, under a fresh nonce and the next
// generation, and returns what is stored now. It returns ErrRefused, and writes
// nothing, where next takes back what old promises; blob.ErrLostSwap, with the manifest
// that won, where another process was faster; blob.ErrUnknownOutcome where the bucket
// does not say.
func Swap(ctx context.Context, bucket blob.Bucket, prefix string, old *Manifest, next Manifest) (*Manifest, error) {
	if err := old.allows(&next); err != nil {
		return nil, fmt.Errorf("swap manifest of %s: %w", prefix, err)
	}
	next.Format, next.Generation, next.Nonce = manifestFormat, old.Generation+1, newNonce()
	m, err := putManifest(ctx, bucket, prefix, blob.IfMatch(old.ETag), &next)
	if err != nil {
		return m, fmt.Errorf("swap manifest of %s: %w", prefix, err)
	}
	return m, nil
}

// Past is the manifest's own checkpoint as it will stand in a later history.
func (m *Manifest) Past() Past {
	return Past{Key: m.Checkpoint, Seq: m.Seq, Time: m.Time, Hash: m.Hash}
}

// Thin is the history of a manifest that follows m and names the checkpoint next: of
// each hour of the window before now the newest checkpoint, next counted but not
// returned, and the newest one below the window. Hours and window are those of commit
// times; now is the bucket's Date.
func (m *Manifest) Thin(next Past, window time.Duration, now time.Time) []Past {
	known := append(slices.Clone(m.History), m.Past(), next)
	slices.SortStableFunc(known, func(a, b Past) int { return cmp.Compare(a.Seq, b.Seq) })
	start := now.Add(-window).UnixNano()
	var kept []Past
	for _, past := range known {
		if len(kept) > 0 && replaces(past, kept[len(kept)-1], start) {
			kept = kept[:len(kept)-1]
		}
		kept = append(kept, past)
	}
	return slices.DeleteFunc(kept, func(past Past) bool { return past.Key == next.Key })
}

// replaces reports whether a history that holds the newer checkpoint has no need of
// the older: both lie at or below the window's start, or in one hour.
func replaces(newer, older Past, start int64) bool {
	if newer.Time <= start {
		return true
	}
	return older.Time > start && newer.Time/int64(time.Hour) == older.Time/int64(time.Hour)
}

// check reports what no manifest may say.
func (m *Manifest) check() error {
	switch {
	case m.Floor > m.Seq:
		return fmt.Errorf("floor %d is over seq %d: %w", m.Floor, m.Seq, ErrRefused)
	case (m.Checkpoint == "") != (m.Seq == 0):
		return fmt.Errorf("checkpoint %q at seq %d: %w", m.Checkpoint, m.Seq, ErrRefused)
	}
	return nil
}

// allows reports what a manifest that follows m may not say.
func (m *Manifest) allows(next *Manifest) error {
	switch {
	case next.Store != m.Store || next.Branch != m.Branch || next.Partition != m.Partition:
		return fmt.Errorf("it is of %s/%s/%d, the old one of %s/%s/%d: %w",
			next.Store, next.Branch, next.Partition, m.Store, m.Branch, m.Partition, ErrRefused)
	case next.Seq < m.Seq:
		return fmt.Errorf("seq falls from %d to %d: %w", m.Seq, next.Seq, ErrRefused)
	case next.Floor < m.Floor:
		return fmt.Errorf("floor falls from %d to %d: %w", m.Floor, next.Floor, ErrRefused)
	case next.Seq == m.Seq && (next.Hash != m.Hash || next.Time != m.Time):
		return fmt.Errorf("commit %d changes: %w", m.Seq, ErrRefused)
	}
	return next.check()
}

// putManifest stores m on the condition given and settles what came of it. With
// blob.ErrLostSwap it returns the manifest that is there.
func putManifest(ctx context.Context, bucket blob.Bucket, prefix string, when blob.Condition, m *Manifest) (*Manifest, error) {
	body, err := encodeManifest(m)
	if err != nil {
		return nil, err
	}
	stored, err := blob.Settle(ctx, bucket, blob.Write{Key: ManifestKey(prefix), Body: body, When: when, Ours: func(found []byte) bool {
		there, err := decodeManifest(found)
		return err == nil && there.Nonce == m.Nonce
	}})
	lost := errors.Is(err, blob.ErrLostSwap)
	switch {
	case err != nil && !lost:
		return nil, err
	case lost && stored.ETag == "":
		return nil, ErrGone
	}
	there, decodeErr := decodeManifest(stored.Body)
	if decodeErr != nil {
		return nil, decodeErr
	}
	there.ETag, there.Date = stored.ETag, stored.Date
	if lost {
		err = fmt.Errorf("%w: generation %d", err, there.Generation)
	}
	return there, err
}

func encodeManifest(m *Manifest) ([]byte, error) {
	if m.History == nil {
		m.History = []Past{}
	}
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(body, '\n'), nil
}

// decodeManifest is strict: a release that dropped a field it does not know, at its
// next swap, would lose it for those who do.
func decodeManifest(body []byte) (*Manifest, error) {
	if !utf8.Valid(body) { // the decoder would read it as some other text
		return nil, fmt.Errorf("decode manifest: it is no text: %w", commitlog.ErrDamaged)
	}
	var lax Manifest
	if err := json.Unmarshal(body, &struct {
		Format *int `json:"format"`
	}{&lax.Format}); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", commitlog.ErrDamaged, err)
	}
	if lax.Format != manifestFormat {
		return nil, fmt.Errorf("manifest format %d, this release reads %d: %w", lax.Format, manifestFormat, commitlog.ErrUnknownFormat)
	}
	if err := json.Unmarshal(body, &lax); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", commitlog.ErrDamaged, err)
	}
	var m Manifest
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w: %w", commitlog.ErrUnknownFormat, err)
	}
	return &m, nil
}

// newNonce is a text of 26 letters and digits that nobody wrote before.
func newNonce() string { return strings.ToLower(rand.Text()) }
