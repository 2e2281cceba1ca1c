package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Base is the state that a batch is decided on, and what its commit has to carry.
type Base struct {
	*View
	Time int64 // for the commit: after the last one, and now

	// Date is the newest Date of the bucket known, in nanoseconds since 1970 UTC, or
	// what it must be by now: our clock was right within 5 s when the bucket answered
	// last, which may be long ago. It is not positive when the bucket gave none.
	Date int64
}

// Base takes the state to decide on. It refuses with ErrClock when this machine's
// clock is too far from the bucket's.
func (p *Partition) Base() (*Base, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if p.skew > blob.MaxSkew || p.skew < -blob.MaxSkew {
		return nil, fmt.Errorf("%s off the bucket's, at most %s is allowed: %w", p.skew, blob.MaxSkew, ErrClock)
	}
	b := &Base{View: p.view()}
	now := p.Now()
	b.Time = max(now.UnixNano(), b.Position().Time+1)
	if !p.date.IsZero() {
		b.Date = later(p.date, now.Add(-blob.MaxSkew)).UnixNano()
	}
	return b, nil
}

// Append makes ops the commit after base: durable first, then applied. Only then does
// it return nil.
//
// ErrLost of commitlog means that another commit has the number; it is applied, and
// ours never will be. ErrBehind means that the log went on without us; the partition was
// reopened, and our commit may be in its history. After both the batch is to be decided
// again. ErrUnknown means that it may still happen. After any other error nothing was
// stored.
func (p *Partition) Append(ctx context.Context, base *Base, nonce commitlog.Nonce, ops []commitlog.Op) (commitlog.Seq, error) {
	n := base.Position().Seq
	c := &commitlog.Commit{
		Seq:     n + 1,
		Time:    base.Time,
		Prev:    base.Position().Hash,
		Nonce:   nonce,
		Release: p.Release,
		Ops:     ops,
	}
	c.Encode()
	sent := p.Now()
	winner, date, err := p.log.Append(ctx, c)
	got := p.replied(sent, date)

	p.changing.Lock()
	defer p.changing.Unlock()
	switch {
	case errors.Is(err, commitlog.ErrBehind):
		return 0, p.behind(ctx, n)
	case err != nil && winner == nil:
		return 0, err
	}
	// The object with our number is there. Whether it is history or the junk of a
	// zombie, only the floor can say.
	switch confirmErr := p.confirm(ctx, n, got, winner == nil); {
	case errors.Is(confirmErr, errBehind):
		return 0, p.behind(ctx, n)
	case confirmErr != nil:
		return 0, errors.Join(commitlog.ErrUnknown, confirmErr)
	}
	if winner != nil {
		if applyErr := p.apply(winner); applyErr != nil {
			return 0, applyErr
		}
		return 0, err
	}
	// The commit is durable. From here a crash loses nothing.
	if err := p.apply(c); err != nil {
		return 0, errors.Join(commitlog.ErrUnknown, err)
	}
	return c.Seq, nil
}

// behind reopens a partition that fell behind the floor at n, unless that was done
// while the answer was on its way. changing is held.
func (p *Partition) behind(ctx context.Context, n commitlog.Seq) error {
	if p.Position().Seq == n {
		if err := p.reopen(ctx); err != nil {
			return errors.Join(commitlog.ErrUnknown, err)
		}
	}
	return fmt.Errorf("append commit %s: %w", n+1, commitlog.ErrBehind)
}
