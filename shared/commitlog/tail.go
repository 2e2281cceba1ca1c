package commitlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Tail is what a cold reader found after a seq.
type Tail struct {
	Commits []*Commit // oldest first, chained by hash
	Date    time.Time // of the bucket's answer that there are no more
}

// The bounds of one round of a cold reader, whose requests are sent in parallel.
const (
	firstEnds  = 4   // block ends asked for in the first round, beside the next seq
	secondEnds = 2   // in the second, beside a search of the next block
	maxEnds    = 24  // in a later one: they double while the log goes on
	maxMissing = 32  // commits fetched that nobody carried
	folderNext = 16  // commits asked for in the second round on a folder
	folderMost = 256 // in a later one: they double while the log goes on
	ways       = 4   // probes within a block
)

// Tail reads every commit after one whose hash is given; that of seq 0 is Genesis. It
// asks at once for the next seq and the next block ends, then narrows the block in which
// the log ends, four probes at a time. What it passes and nobody carried is fetched
// along with the probes.
//
// The caller has proof that after is at or above the floor, or gets it afterwards:
// behind the floor there may be nothing to find. ErrBehind means that a commit which
// must be there is gone.
func (l *Log) Tail(ctx context.Context, after Seq, hash Hash) (Tail, error) {
	s := search{log: l, after: after, top: after, have: map[Seq]*Commit{}, carries: map[Seq]int{}, ends: firstEnds, ahead: folderNext}
	probes, missing := s.first(), []Seq(nil)
	s.ends = secondEnds
	for {
		if err := s.round(ctx, probes, missing); err != nil {
			return Tail{}, fmt.Errorf("read tail after %s: %w", after, err)
		}
		probes, missing = s.probes(), s.missing()
		if len(probes)+len(missing) == 0 {
			break
		}
	}
	commits, err := s.chain(hash)
	if err != nil {
		return Tail{}, fmt.Errorf("read tail after %s: %w", after, err)
	}
	for _, c := range commits {
		l.Remember(c)
	}
	return Tail{Commits: commits, Date: s.date}, nil
}

// search is a cold reader on its way. The log may grow meanwhile. Once there is a bound,
// only seqs below it are asked for: top rises and bound falls until they meet, however
// fast the log grows. What is then found is all that there was when the bucket said that
// bound is absent.
type search struct {
	log   *Log
	after Seq

	have    map[Seq]*Commit
	carries map[Seq]int // how many predecessors came with each commit that was asked for
	top     Seq         // the newest commit known to exist
	bound   Seq         // the least seq above top known to be absent, 0 for none
	date    time.Time   // of the answer about bound
	ends    int         // block ends to ask for while there is no bound
	ahead   Seq         // commits to ask for while there is no bound, on a folder
}

// first says what to ask for when nothing is known.
func (s *search) first() []Seq {
	asked := []Seq{s.top + 1}
	if s.log.folder != nil {
		return asked
	}
	return s.blockEnds(asked, s.top+1)
}

// blockEnds adds the next block ends from a seq on that are not asked for yet.
func (s *search) blockEnds(asked []Seq, from Seq) []Seq {
	end := from | (blockSize - 1)
	for range s.ends {
		if end == asked[len(asked)-1] {
			end += blockSize
		}
		asked = append(asked, end)
		end += blockSize
	}
	return asked
}

// probes says where to look next for the end of the log; nowhere once it is known.
func (s *search) probes() []Seq {
	next := s.top + 1
	switch {
	case s.bound == next:
		return nil
	case s.log.folder != nil && s.bound == 0:
		// A look is cheap, and decoding takes every core.
		asked := consecutive(next, s.ahead)
		s.ahead = min(2*s.ahead, folderMost)
		return asked
	case s.log.folder != nil:
		return consecutive(next, s.bound-next)
	case s.bound != 0:
		return within(next, s.bound)
	}
	// The log goes on past all that was asked for. It is likely to end soon, so the next
	// block is searched along with the look further ahead.
	end := next | (blockSize - 1)
	asked := s.blockEnds(append(within(next, end), end), end+blockSize)
	s.ends = min(2*s.ends, maxEnds)
	return asked
}

// consecutive is some seqs, one after the other.
func consecutive(from, n Seq) []Seq {
	seqs := make([]Seq, n)
	for i := range seqs {
		seqs[i] = from + Seq(i)
	}
	return seqs
}

// within chooses probes among the seqs from one to before another: all of them when they
// are few, else the first and others that leave gaps of equal size.
func within(from, to Seq) []Seq {
	n := to - from
	probes := []Seq{}
	for i := range min(n, ways) {
		if n <= ways {
			probes = append(probes, from+i)
		} else {
			probes = append(probes, from+i*n/ways)
		}
	}
	return probes
}

// missing says which commits to fetch up to top. Each is likely to bring as many
// predecessors as the one after it did.
func (s *search) missing() []Seq {
	var asked []Seq
	stride := blockSize
	for seq := s.top; seq > s.after && len(asked) < maxMissing; {
		if seq%blockSize == blockSize-1 {
			stride = blockSize
		}
		if s.have[seq] != nil {
			if n, ok := s.carries[seq]; ok {
				stride = n + 1
			}
			seq--
			continue
		}
		asked = append(asked, seq)
		for skip := stride; skip > 0 && seq > s.after && s.have[seq] == nil; skip-- {
			if seq--; seq%blockSize == blockSize-1 {
				break
			}
		}
	}
	return asked
}

// answer is what one request of a cold reader came to.
type answer struct {
	seq     Seq
	commit  *Commit // nil when it is not there
	carried []*Commit
	date    time.Time
}

// round sends requests in parallel and learns from the answers. A probe may find
// nothing. What is missing was passed by: below it and above it the log is there.
func (s *search) round(ctx context.Context, probes, missing []Seq) error {
	answers, err := s.log.ask(ctx, append(probes, missing...))
	if err != nil {
		return err
	}
	for _, a := range answers[len(probes):] {
		if a.commit == nil {
			return fmt.Errorf("commit %s: %w", a.seq, ErrBehind)
		}
	}
	for _, a := range answers {
		if a.commit == nil {
			continue
		}
		s.top, s.carries[a.seq] = max(s.top, a.seq), len(a.carried)
		s.have[a.seq] = a.commit
		for _, c := range a.carried {
			s.have[c.Seq] = c
		}
	}
	// Where the log grew meanwhile, what was absent may lie below top: it is missing now.
	for _, a := range answers {
		if a.commit == nil && a.seq > s.top && (s.bound == 0 || a.seq < s.bound) {
			s.bound, s.date = a.seq, a.date
		}
	}
	return nil
}

// ask sends requests in parallel.
func (l *Log) ask(ctx context.Context, seqs []Seq) ([]answer, error) {
	out := make([]answer, len(seqs))
	read := l.fetch
	if len(seqs) == 1 {
		read = l.Get // a single look is likely to find nothing
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, seq := range seqs {
		group.Go(func() error {
			c, carried, date, err := read(ctx, seq)
			if err != nil && !errors.Is(err, blob.ErrNotExist) {
				return err
			}
			out[i] = answer{seq: seq, commit: c, carried: carried, date: date}
			return nil
		})
	}
	return out, group.Wait()
}

// chain proves that what was found is one chain from the commit with this hash on.
func (s *search) chain(hash Hash) ([]*Commit, error) {
	commits := make([]*Commit, 0, s.top-s.after)
	for seq := s.after + 1; seq <= s.top; seq++ {
		c := s.have[seq]
		if c.Prev != hash {
			return nil, fmt.Errorf("commit %s does not chain to the one before: %w", seq, ErrDamaged)
		}
		commits, hash = append(commits, c), c.hash
	}
	return commits, nil
}

// Range reads the commits of a range from the log, oldest first, and proves that they
// are one chain.
func (l *Log) Range(ctx context.Context, from, to Seq) ([]*Commit, error) {
	if to < from {
		return nil, nil
	}
	out := make([]*Commit, to-from+1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range out {
		group.Go(func() (err error) {
			out[i], _, _, err = l.fetch(ctx, from+Seq(i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := 1; i < len(out); i++ {
		if out[i].Prev != out[i-1].hash {
			return nil, fmt.Errorf("commit %s does not chain to the one before: %w", out[i].Seq, ErrDamaged)
		}
	}
	return out, nil
}
