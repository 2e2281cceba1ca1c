package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// View is a consistent picture of the partition, and what keeps it open.
type View struct {
	*store.View
	db *opened
}

// Close lets go of the view.
func (v *View) Close() error {
	err := v.View.Close()
	v.db.release()
	return err
}

// Prefetch fetches ahead what reading the keys of [from, to) will touch, newest keys
// first when reverse is set. In a folder it does nothing.
func (v *View) Prefetch(ctx context.Context, from, to []byte, reverse bool) error {
	return v.db.fs.PrefetchRange(ctx, from, to, checkpoint.RangeOptions{Reverse: reverse})
}

// PrefetchKeys fetches ahead what looking the keys up begins with. In a folder it does
// nothing.
func (v *View) PrefetchKeys(ctx context.Context, keys [][]byte) error {
	return v.db.fs.PrefetchKeys(ctx, keys)
}

// View is a picture of whatever is here.
func (p *Partition) View() (*View, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	return p.view(), nil
}

// view takes a picture. mu is held.
func (p *Partition) view() *View {
	p.db.refs.Add(1)
	return &View{View: p.db.View(), db: p.db}
}

// Freshness says how new a picture must be.
type Freshness struct {
	Consistency chat.Consistency
	Min         commitlog.Seq // for Session, and waited for by every read
	MaxAge      time.Duration // for Stale
}

// Read returns a picture that is fresh enough.
func (p *Partition) Read(ctx context.Context, f Freshness) (*View, error) {
	if err := p.refresh(ctx, f); err != nil {
		return nil, err
	}
	return p.View()
}

// Answer calls use with a picture that is fresh enough. When use finds a table gone,
// which the janitor took with an old checkpoint, the partition is reopened on the
// newest manifest and use is called once more.
func (p *Partition) Answer(ctx context.Context, f Freshness, use func(*View) error) error {
	if err := p.refresh(ctx, f); err != nil {
		return err
	}
	v, err := p.lend(use)
	if !errors.Is(err, checkpoint.ErrTableGone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if err := p.ReopenSince(ctx, v); err != nil {
		return err
	}
	_, err = p.lend(use)
	return err
}

// lend calls use with a picture of what is here, which it returns closed.
func (p *Partition) lend(use func(*View) error) (*View, error) {
	v, err := p.View()
	if err != nil {
		return nil, err
	}
	err = use(v)
	return v, errors.Join(err, v.Close())
}

// refresh makes what is here fresh enough.
func (p *Partition) refresh(ctx context.Context, f Freshness) error {
	switch f.Consistency {
	case chat.Session:
		if ok, err := p.reached(f.Min); ok || err != nil {
			return err
		}
	case chat.Stale:
		if ok, err := p.reached(f.Min); ok && p.age() <= f.MaxAge || err != nil {
			return err
		}
	}
	if err := p.Probe(ctx); err != nil {
		return err
	}
	if ok, err := p.reached(f.Min); ok || err != nil {
		return err
	}
	return p.waitFor(ctx, f.Min)
}

// waitFor asks until a position is reached, within a bound.
func (p *Partition) waitFor(ctx context.Context, min commitlog.Seq) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		if err := blob.Wait(ctx, pause); err != nil {
			return fmt.Errorf("wait for position %s: %w", min, err)
		}
		if err := p.Probe(ctx); err != nil {
			return err
		}
		if ok, err := p.reached(min); ok || err != nil {
			return err
		}
	}
}

// reached reports whether the commit is applied.
func (p *Partition) reached(seq commitlog.Seq) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, ErrClosed
	}
	return p.db.Position().Seq >= seq, nil
}

// forever is longer than any age that a read allows.
const forever = 1<<63 - 1

// age is for how long, at most, nothing that was committed elsewhere has been seen. It
// goes by the wall clock: one that stops while a machine is frozen would show too little.
func (p *Partition) age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := p.Now().Round(0).Sub(p.proved.Round(0))
	if age < 0 {
		return forever // our clock was set back
	}
	return age
}

// round is one probe and those who wait for it.
type round struct {
	done chan struct{}
	err  error // once done
}

// Probe makes sure that everything which was acknowledged anywhere before the call is
// applied: it waits for a probe that is sent after the call. Whoever comes while one is
// under way shares the next. The probe does not end with any of those who wait.
func (p *Partition) Probe(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	if _, folder := p.Bucket.(blob.Folder); folder {
		p.work.Add(1)
		p.mu.Unlock()
		defer p.work.Done()
		return p.probeHere(ctx) // two calls of the system: less than waiting for another's
	}
	if p.next == nil {
		p.next = &round{done: make(chan struct{})}
	}
	r := p.next
	if !p.probing {
		p.probing = true
		p.work.Go(p.probeAll)
	}
	p.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of the log: %w", ctx.Err())
	}
}

// probeAll sends probes until nobody waits for one.
func (p *Partition) probeAll() {
	for {
		p.mu.Lock()
		r := p.next
		p.next = nil
		p.probing = r != nil
		p.mu.Unlock()
		if r == nil {
			return
		}
		r.err = p.probeToEnd(p.life)
		close(r.done)
	}
}

// probeHere is probeToEnd on a folder. The look that finds nothing, as nearly every one
// does, needs no bound.
func (p *Partition) probeHere(asked context.Context) error {
	if more, err := p.probe(telemetry.Carry(p.life, asked)); err != nil || !more {
		return err
	}
	return p.probeToEnd(asked)
}

// probeToEnd applies commits until there are no more. It does not end with who asked,
// but what it asks the bucket for is counted, and traced, as theirs.
func (p *Partition) probeToEnd(asked context.Context) error {
	ctx, cancel := context.WithTimeout(telemetry.Carry(p.life, asked), p.Timeout)
	defer cancel()
	for {
		if more, err := p.probe(ctx); err != nil || !more {
			return err
		}
	}
}

// probe asks for the commit after the last one and applies it; more is true when there
// was one.
func (p *Partition) probe(ctx context.Context) (more bool, err error) {
	if p.life.Err() != nil {
		return false, ErrClosed
	}
	n := p.Position().Seq
	sent := p.Now()
	c, _, date, err := p.log.Get(ctx, n+1)
	absent := errors.Is(err, blob.ErrNotExist)
	if err != nil && !absent {
		return false, err
	}
	got := p.replied(sent, date)
	if absent {
		// There is nothing to apply, so readers do not wait for each other's look.
		if err := p.confirm(ctx, n, got, true); !errors.Is(err, errBehind) {
			return false, err
		}
	}

	p.changing.Lock()
	defer p.changing.Unlock()
	switch err := p.confirm(ctx, n, got, absent); {
	case errors.Is(err, errBehind) && p.Position().Seq == n:
		ctx, cancel := context.WithTimeout(ctx, p.Timeout)
		defer cancel()
		return false, p.reopen(ctx)
	case errors.Is(err, errBehind):
		return true, nil // somebody reopened meanwhile
	case err != nil:
		return false, err
	case absent:
		return false, nil
	}
	return true, p.apply(c)
}
