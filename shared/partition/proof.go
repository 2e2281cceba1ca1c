package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

// reply is when the bucket answered, by its clock and by ours.
type reply struct {
	date     time.Time
	sent     time.Time // the request, by our clock
	received time.Time
}

// replied is an answer that came just now.
func (p *Partition) replied(sent, date time.Time) reply { return reply{date, sent, p.Now()} }

// dateStep is how coarse a Date may be: S3 leaves out what is below a second.
const dateStep = time.Second

// skew is how far our clock is from the bucket's at least: the answer was dated at some
// moment between its sending and its arrival.
func (a reply) skew() time.Duration {
	if early := a.received.Sub(a.date); early < 0 {
		return early
	}
	return max(0, a.sent.Sub(a.date)-dateStep)
}

// note remembers the bucket's clock, and how far ours is from it. An answer that was
// long on its way tells of a wrong clock, but not of a right one. mu is held.
func (p *Partition) note(a reply) {
	if a.date.IsZero() {
		return
	}
	p.date = later(p.date, a.date)
	if skew := a.skew(); skew != 0 || a.received.Sub(a.sent) <= blob.MaxSkew {
		p.skew = skew
	}
}

// readManifest reads the partition's manifest, or finds the old one unchanged. It
// refuses one that this release, or anybody, must not serve.
func (p *Partition) readManifest(ctx context.Context, old *checkpoint.Manifest) (*checkpoint.Manifest, error) {
	m, err := checkpoint.Reread(ctx, p.Bucket, p.prefix, old)
	switch {
	case err != nil:
		return nil, err
	case m.Store != p.Store.ID || m.Branch != p.Branch || m.Partition != p.Number:
		return nil, fmt.Errorf("manifest of %s is of store %s, branch %s, partition %d: %w", p.prefix, m.Store, m.Branch, m.Partition, commitlog.ErrDamaged)
	case m.State != "":
		return nil, fmt.Errorf("manifest of %s is %q: %w", p.prefix, m.State, checkpoint.ErrGone)
	case m.Formats.Max > store.FormatVersion:
		return nil, fmt.Errorf("checkpoint of %s has records of format %d, this release reads up to %d: %w", p.prefix, m.Formats.Max, store.FormatVersion, commitlog.ErrUnknownFormat)
	}
	return m, nil
}

// stale reports whether an answer of this date finds a proof stale. On a folder, whose
// clock may step, it always does: another look costs one stat.
func (p *Partition) stale(proof, answer time.Time) bool {
	if _, folder := p.Bucket.(blob.Folder); folder {
		return true
	}
	age := answer.Sub(proof)
	return age > p.ProofAge || age < -blob.MaxSkew
}

// errBehind: the log went on without us, and what we would read next is gone.
var errBehind = errors.New("behind the floor")

// confirm makes an answer that the bucket gave about the end of the log at n count: if
// it finds the proof stale, the manifest is read again, now, after the answer. It
// returns errBehind when the floor has passed n, also when somebody else learned that
// while the answer was on its way: the proof is of another n then.
//
// Only an answer that n is the end makes the proof younger: that somebody's commit n+1
// is there says nothing about the floor, and who met one every few minutes would never
// look at it. changing is held by whoever is going to apply what the answer brought.
func (p *Partition) confirm(ctx context.Context, n commitlog.Seq, a reply, end bool) error {
	p.mu.Lock()
	m, stale := p.manifest, p.stale(p.proof, a.date)
	p.mu.Unlock()
	if stale {
		var err error
		if m, err = p.readManifest(ctx, m); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(a)
	p.adopt(m)
	if p.manifest.Floor > n {
		return errBehind
	}
	if stale {
		p.proof = m.Date
	}
	if end {
		p.proof = later(p.proof, a.date)
		p.proved = later(p.proved, a.sent)
	}
	return nil
}

// adopt takes over a newer manifest: the tail is now what lies after its checkpoint.
// mu is held.
func (p *Partition) adopt(m *checkpoint.Manifest) {
	if m.Generation <= p.manifest.Generation {
		return
	}
	if m.Seq > p.manifest.Seq {
		behind := int(m.Seq - p.manifest.Seq)
		if p.tail.Commits > behind {
			p.tail.Bytes = p.tail.Bytes * int64(p.tail.Commits-behind) / int64(p.tail.Commits)
			p.tail.Commits -= behind
		} else {
			p.tail = Tail{}
		}
	}
	p.manifest = m
}
