package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
)

// VerifyReport is what `bobbin verify` found. What could not be counted is nil.
type VerifyReport struct {
	Store       string   `json:"store"`
	Branch      string   `json:"branch"`
	OK          bool     `json:"ok"`
	Checkpoints *int     `json:"checkpoints"`
	Tables      *int     `json:"tables"`
	TableBytes  *int64   `json:"tables_bytes"`
	Commits     *int     `json:"commits"`
	Segments    *int     `json:"segments"`
	Threads     *int     `json:"threads"`
	Messages    *int     `json:"messages"`
	Keys        *int     `json:"keys"`   // of users
	Sealed      *int     `json:"sealed"` // threads, messages and earlier texts that opened
	Erased      *int     `json:"erased"` // those that nothing opens any more, as their authors wanted
	Damage      []Damage `json:"damage"`
}

// Damage is one thing that is not as it should be.
type Damage struct {
	Object string `json:"object"` // a key in the bucket; of records, the prefix of their partition
	What   string `json:"what"`
}

// verifier reads back everything that a store stands on, each object once, and without
// a database: what is damaged is named by its own key, not by what stumbles over it.
type verifier struct {
	*Store
	report   *VerifyReport
	roots    *catalog.Roots // nil when they cannot be read
	progress func(done, total int64)
	done     int64
	total    int64

	objects    map[string]bool // checkpoints read, and whether they and their tables are whole
	tables     map[string]bool // tables read, and whether they are whole
	tableBytes int64
	commits    int
	segments   int

	noted  map[string]bool // key records that are named already
	sealed int
	erased int
}

// Verify reads back every object of a store: table hashes, the hash chain, every
// segment against its commits, indexes and counters against records; it opens every key
// and every text. What is wrong is in the report; an error means that it could not look.
func Verify(ctx context.Context, cfg Config, log *slog.Logger, progress func(done, total int64)) (report VerifyReport, err error) {
	report.Damage = []Damage{}
	s, err := open(ctx, cfg, log)
	if wrong(err) {
		report.Damage = append(report.Damage, Damage{catalog.StoreKey, describe(catalog.StoreKey, err)})
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	report.Store, report.Branch = s.Catalog.ID, s.Catalog.Branch
	if err := s.openSealing(ctx); err != nil {
		return report, err
	}
	s.service = s.newService(nil)
	v := &verifier{
		Store: s, report: &report, progress: progress,
		objects: map[string]bool{}, tables: map[string]bool{}, noted: map[string]bool{},
	}
	if err := v.run(ctx); err != nil {
		return report, err
	}
	report.OK = len(report.Damage) == 0
	return report, nil
}

// Damaged reports whether an error says that bytes are not what they should be, or are
// missing, rather than that they could not be read.
func Damaged(err error) bool {
	for _, is := range []error{
		commitlog.ErrDamaged, commitlog.ErrMissing, commitlog.ErrBehind,
		blob.ErrNotExist, checkpoint.ErrTableGone, checkpoint.ErrGone,
		seal.ErrDamaged,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// wrong reports whether an error is a finding: damage, or a format that nobody knows,
// which is what a single changed byte can look like.
func wrong(err error) bool { return Damaged(err) || errors.Is(err, commitlog.ErrUnknownFormat) }

// describe says what is wrong with an object, for an operator who sees its key beside it.
func describe(key string, err error) string {
	switch {
	case errors.Is(err, commitlog.ErrUnknownFormat):
		return "it has a format that this release does not know: it is damaged, or a newer release wrote it"
	case errors.Is(err, blob.ErrNotExist), errors.Is(err, checkpoint.ErrGone), errors.Is(err, keyring.ErrMissing):
		return "it is missing"
	}
	text := err.Error()
	if _, after, ok := strings.Cut(text, key+": "); ok {
		text = after
	} else if _, after, ok := strings.Cut(text, key+" "); ok {
		text = "it " + after
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "damaged: "), ": "+commitlog.ErrDamaged.Error())
	text = strings.TrimPrefix(text, seal.ErrDamaged.Error()+": ")
	if strings.HasPrefix(text, "it ") {
		return text
	}
	return "its bytes were changed or cut off: " + text
}

// note adds a finding.
func (v *verifier) note(object, format string, args ...any) {
	v.report.Damage = append(v.report.Damage, Damage{object, fmt.Sprintf(format, args...)})
}

// found notes what is wrong with an object; any other error is returned.
func (v *verifier) found(object string, err error) error {
	if err == nil || !wrong(err) {
		return err
	}
	v.note(object, "%s", describe(object, err))
	return nil
}

func (v *verifier) run(ctx context.Context) error {
	manifests, err := v.manifests(ctx)
	if err != nil || manifests == nil {
		return err
	}
	for _, m := range manifests {
		if m != nil {
			v.total += m.TableBytes
		}
	}
	whole := make([]bool, len(manifests))
	for p, m := range manifests {
		if m == nil {
			continue
		}
		if whole[p], err = v.partition(ctx, p, m); err != nil {
			return err
		}
	}
	if err := v.kept(ctx); err != nil {
		return err
	}
	r := v.report
	r.Checkpoints, r.Tables, r.TableBytes = new(len(v.objects)), new(len(v.tables)), new(v.tableBytes)
	r.Commits, r.Segments = new(v.commits), new(v.segments)
	if !slices.Contains(whole, false) { // those of some partitions would be no count of the store's
		r.Threads, r.Messages = new(0), new(0)
		r.Sealed, r.Erased = &v.sealed, &v.erased
	}
	for p := range manifests {
		if !whole[p] {
			continue
		}
		if err := v.records(ctx, p); err != nil {
			return err
		}
	}
	return v.keys(ctx, 0) // where no partition could say which KEK is in use
}

// manifests reads roots.json and the manifest of every partition, nil where that cannot
// be read. The result is nil when bobbin.json itself is wrong: it leads nowhere.
func (v *verifier) manifests(ctx context.Context) (all []*checkpoint.Manifest, err error) {
	roots, rootsErr := catalog.ReadRoots(ctx, v.bucket, v.Catalog)
	if rootsErr != nil && !wrong(rootsErr) {
		return nil, rootsErr
	}
	v.roots = roots
	all = make([]*checkpoint.Manifest, v.Catalog.Partitions())
	errs := make([]error, len(all))
	ours, others := 0, ""
	for p := range all {
		m, err := checkpoint.Read(ctx, v.bucket, catalog.Prefix(v.Catalog.Branch, p))
		switch {
		case err != nil && !wrong(err):
			return nil, err
		case err != nil:
			errs[p] = err
		case m.Store != v.Catalog.ID:
			errs[p], others = fmt.Errorf("it is that of store %q, not %q: %w", m.Store, v.Catalog.ID, commitlog.ErrDamaged), m.Store
		case m.Branch != v.Catalog.Branch || m.Partition != p:
			errs[p] = fmt.Errorf("it is that of partition %d of %s: %w", m.Partition, m.Branch, commitlog.ErrDamaged)
		default:
			all[p], ours = m, ours+1
		}
	}
	// Where nothing agrees with bobbin.json, it is bobbin.json that is wrong.
	named := roots != nil && slices.ContainsFunc(roots.Branches, func(b catalog.Branch) bool { return b.Name == v.Catalog.Branch })
	switch {
	case ours == 0 && others != "" && rootsErr != nil:
		v.note(catalog.StoreKey, "it says that this is store %s, everything else that it is %s", v.Catalog.ID, others)
		return nil, nil
	case ours == 0 && roots != nil && !named:
		v.note(catalog.StoreKey, "it names branch %s, which has no manifests and is not in %s", v.Catalog.Branch, catalog.RootsKey)
		return nil, nil
	case roots != nil && !named:
		v.note(catalog.RootsKey, "it does not name the active branch, %s", v.Catalog.Branch)
	}
	if err := v.found(catalog.RootsKey, rootsErr); err != nil {
		return nil, err
	}
	for p, err := range errs {
		if err := v.found(checkpoint.ManifestKey(catalog.Prefix(v.Catalog.Branch, p)), err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// partition checks what a partition's manifest leads to. It reports whether all that
// the newest state stands on is whole.
func (v *verifier) partition(ctx context.Context, p int, m *checkpoint.Manifest) (whole bool, err error) {
	prefix := catalog.Prefix(v.Catalog.Branch, p)
	still := func(key string) (bool, error) {
		now, err := checkpoint.Reread(ctx, v.bucket, prefix, m)
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(append(now.History, now.Past()), func(past checkpoint.Past) bool { return past.Key == key }), nil
	}
	whole = true
	for _, past := range append(m.History, m.Past()) {
		if past.Key == "" {
			continue
		}
		ok, err := v.checkpoint(ctx, named{past, checkpoint.ManifestKey(prefix), still})
		if err != nil {
			return false, err
		}
		if past.Key == m.Checkpoint {
			whole = ok
		}
	}
	l := &logVerifier{verifier: v, prefix: prefix, log: commitlog.New(v.bucket, prefix), manifest: m}
	ok, err := l.run(ctx)
	return whole && ok, err
}

// kept checks the checkpoints that branches and pins keep.
func (v *verifier) kept(ctx context.Context) error {
	if v.roots == nil {
		return nil
	}
	var roots []catalog.Root
	for _, b := range v.roots.Branches {
		roots = append(roots, b.Forks...)
	}
	for _, p := range v.roots.Pins {
		roots = append(roots, p.Roots...)
	}
	still := func(string) (bool, error) {
		now, err := catalog.ReadRoots(ctx, v.bucket, v.Catalog)
		return err == nil && now.ETag == v.roots.ETag, err
	}
	for _, r := range roots {
		if r.Checkpoint == "" {
			continue
		}
		// The hash that a root names is that of its last commit, which may lie after
		// its checkpoint.
		past := checkpoint.Past{Key: r.Checkpoint, Seq: r.Seq}
		if _, err := v.checkpoint(ctx, named{past, catalog.RootsKey, still}); err != nil {
			return err
		}
	}
	return nil
}

// records opens a partition's database, which stands on what was found whole, and checks
// indexes and counters against records.
func (v *verifier) records(ctx context.Context, number int) (err error) {
	prefix := catalog.Prefix(v.Catalog.Branch, number)
	p, err := v.openPartition(ctx, number, store.Lazy, "", nil)
	if err != nil {
		return v.foundRecords(prefix, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	view, err := p.Read(ctx, partition.Freshness{})
	if err != nil {
		return v.foundRecords(prefix, err)
	}
	defer view.Close()
	findings, totals, err := view.Audit(v.hasher())
	if err != nil {
		return v.foundRecords(prefix, err)
	}
	for _, f := range findings {
		v.note(prefix, "%s", f.String())
	}
	if err := v.texts(ctx, view); err != nil {
		return v.foundRecords(prefix, err)
	}
	if v.report.Threads != nil {
		*v.report.Threads += int(totals.Threads)
		*v.report.Messages += int(totals.Messages)
	}
	return nil
}

// foundRecords notes that a partition's records could not be read to their end.
func (v *verifier) foundRecords(prefix string, err error) error {
	if !wrong(err) {
		return fmt.Errorf("read the records of %s: %w", prefix, err)
	}
	v.report.Threads, v.report.Messages, v.report.Sealed, v.report.Erased = nil, nil, nil, nil
	v.note(prefix, "its records cannot be read: %v", err)
	return nil
}
