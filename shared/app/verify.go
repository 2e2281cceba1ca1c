package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// VerifyReport is what `bobbin verify` found.
type VerifyReport struct {
	Store       string    `json:"store"`
	Branch      string    `json:"branch"`
	OK          bool      `json:"ok"`
	Checkpoints int       `json:"checkpoints"`
	Tables      int       `json:"tables"`
	TableBytes  int64     `json:"tables_bytes"`
	Commits     int       `json:"commits"`
	Segments    int       `json:"segments"`
	Threads     int       `json:"threads"`
	Messages    int       `json:"messages"`
	Damage      []Finding `json:"damage"`
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Object string `json:"object"` // a key in the bucket, or a record
	What   string `json:"what"`
}

// verifier reads back everything that a partition stands on.
type verifier struct {
	*Store
	report   *VerifyReport
	seen     map[string]bool // tables read
	progress func(done, total int64)
	done     int64
	total    int64
}

// Verify reads back every object of a store: table hashes, the hash chain, every
// segment against its commits, indexes and counters against records. What is wrong is
// in the report; an error means that it could not look.
func Verify(ctx context.Context, cfg Config, log *slog.Logger, progress func(done, total int64)) (report VerifyReport, err error) {
	report.Damage = []Finding{}
	s, err := open(ctx, cfg, log)
	if Damaged(err) {
		report.Damage = append(report.Damage, Finding{Object: cfg.Bucket, What: err.Error()})
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	report.Store, report.Branch = s.Catalog.ID, s.Catalog.Branch
	v := &verifier{Store: s, report: &report, seen: map[string]bool{}, progress: progress}
	if err := v.objects(ctx); err != nil {
		return report, err
	}
	if err := v.databases(ctx); err != nil {
		return report, err
	}
	report.OK = len(report.Damage) == 0
	return report, nil
}

// objects checks every checkpoint, and every table that one of them names.
func (v *verifier) objects(ctx context.Context) error {
	var manifests []*checkpoint.Manifest
	for p := range v.Catalog.Partitions() {
		prefix := catalog.Prefix(v.Catalog.Branch, p)
		m, err := checkpoint.Read(ctx, v.bucket, prefix)
		if errors.Is(err, checkpoint.ErrGone) {
			err = fmt.Errorf("%w: %w", err, commitlog.ErrMissing)
		}
		if err != nil {
			if err := v.found(checkpoint.ManifestKey(prefix), err); err != nil {
				return err
			}
			continue
		}
		manifests = append(manifests, m)
		v.total += m.TableBytes
	}
	for _, m := range manifests {
		for _, past := range append(m.History, m.Past()) {
			if past.Key == "" {
				continue
			}
			if err := v.checkpoint(ctx, past); err != nil {
				return err
			}
		}
	}
	return nil
}

// databases opens every partition and checks its log and its records. A database that
// stands on damaged objects may not open; that is then one finding more.
func (v *verifier) databases(ctx context.Context) error {
	err := v.openPartitions(ctx, store.Lazy, "")
	for _, p := range v.partitions {
		if err != nil {
			break
		}
		if err = v.log(ctx, p, p.Manifest()); err == nil {
			err = v.records(ctx, p)
		}
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if len(v.report.Damage) > 0 || Damaged(err) {
		v.report.Damage = append(v.report.Damage, Finding{Object: catalog.StoreKey, What: "the database cannot be read whole: " + err.Error()})
		return nil
	}
	return fmt.Errorf("read the database: %w", err)
}

// Damaged reports whether an error says that bytes are not what they should be, or are
// missing, rather than that they could not be read.
func Damaged(err error) bool {
	for _, is := range []error{
		commitlog.ErrDamaged, commitlog.ErrMissing, commitlog.ErrBehind,
		blob.ErrNotExist, checkpoint.ErrTableGone, checkpoint.ErrGone,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// found notes damage; any other error is returned.
func (v *verifier) found(object string, err error) error {
	if err == nil || !Damaged(err) {
		return err
	}
	v.report.Damage = append(v.report.Damage, Finding{Object: object, What: err.Error()})
	return nil
}

// checkpoint checks one checkpoint object and its tables.
func (v *verifier) checkpoint(ctx context.Context, past checkpoint.Past) error {
	v.report.Checkpoints++
	object, err := checkpoint.Load(ctx, v.bucket, past.Key)
	if err != nil {
		return v.found(past.Key, err)
	}
	if object.Seq != past.Seq || object.Hash != past.Hash {
		return v.found(past.Key, fmt.Errorf("it is at %s, its manifest says %s: %w", object.Seq, past.Seq, commitlog.ErrDamaged))
	}
	for i := range object.Tables {
		t := &object.Tables[i]
		if v.seen[t.Key()] {
			continue
		}
		v.seen[t.Key()] = true
		if err := v.found(t.Key(), v.table(ctx, t)); err != nil {
			return err
		}
	}
	return nil
}

// tableRead is how much of a table is in memory at a time.
const tableRead = 1 << 20

// table reads a table back and compares its hash.
func (v *verifier) table(ctx context.Context, t *checkpoint.Table) error {
	hash := sha256.New()
	for at := int64(0); at < t.Size; at += tableRead {
		o, err := v.bucket.GetRange(ctx, t.Key(), at, tableRead)
		if err != nil {
			return err
		}
		if o.Size != t.Size {
			return fmt.Errorf("%d bytes, its checkpoint says %d: %w", o.Size, t.Size, commitlog.ErrDamaged)
		}
		hash.Write(o.Body)
		v.done += int64(len(o.Body))
		if v.progress != nil {
			v.progress(v.done, max(v.done, v.total))
		}
	}
	v.report.Tables++
	v.report.TableBytes += t.Size
	if [sha256.Size]byte(hash.Sum(nil)) != t.SHA256 {
		return fmt.Errorf("content does not have the hash in its name: %w", commitlog.ErrDamaged)
	}
	return nil
}

// log checks that the commits above the floor are one chain through the checkpoint's,
// and that the segments hold the rest of the restore window as a chain that ends in it.
func (v *verifier) log(ctx context.Context, p *partition.Partition, m *checkpoint.Manifest) error {
	hashes, err := v.commits(ctx, p, m)
	if err != nil {
		return err
	}
	if err := v.segments(ctx, p, hashes); err != nil {
		return err
	}
	from := m.Seq
	if len(m.History) > 0 {
		from = m.History[0].Seq
	}
	if from == m.Seq {
		return nil
	}
	_, err = commitlog.ReadSegments(ctx, v.bucket, p.Prefix(), from+1, m.Seq, m.Hash)
	return v.found(p.Prefix()+"/segments", err)
}

// commits reads every commit from the floor on. The result is the hash of each.
func (v *verifier) commits(ctx context.Context, p *partition.Partition, m *checkpoint.Manifest) (map[commitlog.Seq]commitlog.Hash, error) {
	hashes := map[commitlog.Seq]commitlog.Hash{m.Seq: m.Hash}
	end := p.Position().Seq
	from := max(m.Floor, 1)
	var before *commitlog.Commit
	for ; from <= end; from += 256 {
		commits, err := p.Commits(ctx, from, min(from+255, end))
		if err != nil {
			return hashes, v.found(commitlog.CommitKey(p.Prefix(), from), err)
		}
		for _, c := range commits {
			v.report.Commits++
			if before != nil && c.Prev != before.Hash() || c.Seq == m.Seq && c.Hash() != m.Hash {
				err := fmt.Errorf("it does not chain to its neighbour: %w", commitlog.ErrDamaged)
				if err := v.found(commitlog.CommitKey(p.Prefix(), c.Seq), err); err != nil {
					return hashes, err
				}
			}
			hashes[c.Seq], before = c.Hash(), c
		}
	}
	return hashes, nil
}

// segments decodes every segment and compares it with the commits that are still there.
func (v *verifier) segments(ctx context.Context, p *partition.Partition, hashes map[commitlog.Seq]commitlog.Hash) error {
	prefix := p.Prefix() + "/segments/"
	for after, more := "", true; more; {
		page, err := v.bucket.List(ctx, blob.ListOptions{Prefix: prefix, After: after})
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			v.report.Segments++
			if err := v.found(e.Key, v.segment(ctx, e.Key, hashes)); err != nil {
				return err
			}
			after = e.Key
		}
		more = page.More
	}
	return nil
}

func (v *verifier) segment(ctx context.Context, key string, hashes map[commitlog.Seq]commitlog.Hash) error {
	o, err := v.bucket.Get(ctx, key)
	if err != nil {
		return err
	}
	commits, err := commitlog.DecodeSegment(o.Body)
	if err != nil {
		return err
	}
	for _, c := range commits {
		if h, ok := hashes[c.Seq]; ok && h != c.Hash() {
			return fmt.Errorf("commit %s in it differs from the log's: %w", c.Seq, commitlog.ErrDamaged)
		}
	}
	return nil
}

// records checks indexes and counters against records.
func (v *verifier) records(ctx context.Context, p *partition.Partition) error {
	view, err := p.Read(ctx, partition.Freshness{})
	if err != nil {
		return v.found(p.Prefix(), err)
	}
	defer view.Close()
	findings, totals, err := view.Audit(v.hasher())
	if err := v.found(p.Prefix(), err); err != nil {
		return err
	}
	for _, f := range findings {
		v.report.Damage = append(v.report.Damage, Finding{Object: p.Prefix(), What: f.String()})
	}
	v.report.Threads += int(totals.Threads)
	v.report.Messages += int(totals.Messages)
	return nil
}
