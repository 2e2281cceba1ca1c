package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Options says what is checked, and how hard.
type Options struct {
	// Handles are the same bucket, opened once or more, as by processes that know
	// nothing of each other. Races are between them.
	Handles []blob.Bucket

	// Prefix is the keys' own, without a slash at the end. Nothing else may use it.
	Prefix string

	// Files is a folder for files outside the bucket, where Handles are folders.
	Files string

	// Brief checks only what every commit stands on, with few calls.
	Brief bool

	Now func() time.Time // nil means time.Now
}

// Bucket checks a bucket, and removes what it stored there.
func Bucket(ctx context.Context, opts Options) []Finding {
	p := &patient{Options: opts, racers: 16, rounds: 8}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Brief {
		p.racers, p.rounds = 4, 1
	}
	checks := []check{
		{"access", true, "give this process permission to read, write, list and delete there", p.access},
		{"absent objects", false, "let it say that an object is not there (on S3 by the permission s3:ListBucket)", p.absent},
		{"create if absent", false, lies, p.create},
		{"swap if unchanged", false, lies, p.swap},
		{"swap of nothing", false, lies, p.swapNothing},
		{"clock", false, "set this machine's clock, or the bucket's, by NTP", p.clock},
	}
	if !p.Brief {
		checks = append(checks,
			check{"list after write", false, lies, p.list},
			check{"ranges", false, lies, p.ranges},
			check{"large objects", false, lies, p.large},
			check{"long names", false, "choose a file system with names of 255 bytes", p.names},
		)
		if folders := p.folders(); folders != nil {
			checks = append(checks, check{"hard links", false, "choose a local file system", func(ctx context.Context) (Finding, error) {
				return p.links(ctx, folders)
			}}, check{"changes seen", false, lies, func(ctx context.Context) (Finding, error) {
				return p.unchanged(ctx, folders)
			}})
		}
	}
	findings := run(ctx, checks)
	return append(findings, run(ctx, []check{{"clean up", false, "delete what begins with " + p.Prefix, p.cleanUp}})...)
}

const lies = "do not keep a store there: messages would be lost"

// patient is a bucket that is being checked.
type patient struct {
	Options
	racers int
	rounds int
}

func (p *patient) key(name string) string { return p.Prefix + "/" + name }

// handle is one opening of the bucket, another one for every number up to their count.
func (p *patient) handle(i int) blob.Bucket { return p.Handles[i%len(p.Handles)] }

// folders are the handles where all are folders, and otherwise nil.
func (p *patient) folders() []blob.Folder {
	var folders []blob.Folder
	for _, h := range p.Handles {
		f, ok := h.(blob.Folder)
		if !ok {
			return nil
		}
		folders = append(folders, f)
	}
	return folders
}

func (p *patient) access(ctx context.Context) (Finding, error) {
	b, key, body := p.handle(0), p.key("access"), []byte("access")
	if _, err := b.Put(ctx, key, body, blob.IfAbsent()); err != nil {
		return Finding{}, fmt.Errorf("create: %w", err)
	}
	if err := wantBody(ctx, b, key, body); err != nil {
		return Finding{}, err
	}
	if _, err := b.List(ctx, blob.ListOptions{Prefix: p.Prefix}); err != nil {
		return Finding{}, fmt.Errorf("list: %w", err)
	}
	if err := b.Delete(ctx, key); err != nil {
		return Finding{}, fmt.Errorf("delete: %w", err)
	}
	switch _, err := b.Get(ctx, key); {
	case err == nil:
		return Finding{}, broken("an object is there after it was deleted")
	case !errors.Is(err, blob.ErrNotExist) && !errors.Is(err, blob.ErrDenied): // the next check's
		return Finding{}, fmt.Errorf("read what was deleted: %w", err)
	}
	return ok("create, read, list and delete"), nil
}

// absent wants "it is not there" told from "you may not know".
func (p *patient) absent(ctx context.Context) (Finding, error) {
	object, err := p.handle(0).Get(ctx, p.key("absent"))
	switch {
	case err == nil:
		return Finding{}, broken("an object is read that nobody stored")
	case !errors.Is(err, blob.ErrNotExist):
		return Finding{}, fmt.Errorf("read an object that is not there: %w", err)
	case object.Date.IsZero():
		return Finding{}, broken("the answer about an absent object has no date")
	}
	return ok("told apart from those that may not be read"), nil
}

func (p *patient) create(ctx context.Context) (Finding, error) {
	for round := range p.rounds {
		key := p.key(fmt.Sprintf("create/%d", round))
		winner, err := p.race(ctx, key, blob.IfAbsent(), round)
		if err != nil {
			return Finding{}, err
		}
		switch _, err := p.handle(round).Put(ctx, key, []byte("late"), blob.IfAbsent()); {
		case err == nil:
			return Finding{}, broken("an object that is there was created again")
		case !refused(err):
			return Finding{}, fmt.Errorf("create what is there: %w", err)
		}
		if err := p.wantEverywhere(ctx, key, winner); err != nil {
			return Finding{}, err
		}
	}
	return ok("one of %d won, %s", p.racers, times(p.rounds)), nil
}

func (p *patient) swap(ctx context.Context) (Finding, error) {
	key := p.key("swap")
	info, err := p.handle(0).Put(ctx, key, []byte("first"), blob.IfAbsent())
	if err != nil {
		return Finding{}, fmt.Errorf("create: %w", err)
	}
	tag := info.ETag
	for round := range p.rounds {
		winner, err := p.race(ctx, key, blob.IfMatch(tag), round)
		if err != nil {
			return Finding{}, err
		}
		switch _, err := p.handle(round).Put(ctx, key, []byte("late"), blob.IfMatch(tag)); {
		case err == nil:
			return Finding{}, broken("a version was swapped that is no longer there")
		case !refused(err):
			return Finding{}, fmt.Errorf("swap a version that is gone: %w", err)
		}
		if err := p.wantEverywhere(ctx, key, winner); err != nil {
			return Finding{}, err
		}
		object, err := p.handle(round).Get(ctx, key)
		if err != nil {
			return Finding{}, fmt.Errorf("read: %w", err)
		}
		if object.ETag == tag {
			return Finding{}, broken("another version has the same tag")
		}
		tag = object.ETag
	}
	return ok("one of %d won, %s", p.racers, times(p.rounds)), nil
}

// swapNothing wants a swap refused where there is nothing, and nothing stored by it.
func (p *patient) swapNothing(ctx context.Context) (Finding, error) {
	key := p.key("nothing")
	info, err := p.handle(0).Put(ctx, key, []byte("gone"), blob.IfAbsent())
	if err == nil {
		err = p.handle(0).Delete(ctx, key)
	}
	if err != nil {
		return Finding{}, fmt.Errorf("create and delete: %w", err)
	}
	switch _, err := p.handle(1).Put(ctx, key, []byte("back"), blob.IfMatch(info.ETag)); {
	case err == nil:
		return Finding{}, broken("an object that was deleted was swapped")
	case !refused(err):
		return Finding{}, fmt.Errorf("swap what was deleted: %w", err)
	}
	switch _, err := p.handle(0).Get(ctx, key); {
	case err == nil:
		return Finding{}, broken("a swap that was refused stored an object")
	case !errors.Is(err, blob.ErrNotExist):
		return Finding{}, fmt.Errorf("read: %w", err)
	}
	return ok("refused"), nil
}

// race lets all put one key under one condition at once, and returns what is there
// afterwards. Exactly one may have its way. One whose outcome is unknown (S3 answers 409
// to some of those that race) may have had it.
func (p *patient) race(ctx context.Context, key string, when blob.Condition, round int) (winner []byte, err error) {
	errs := make([]error, p.racers)
	start := make(chan struct{})
	var racing sync.WaitGroup
	for i := range p.racers {
		racing.Go(func() {
			<-start
			_, errs[i] = p.handle(i).Put(ctx, key, racerBody(round, i), when)
		})
	}
	close(start)
	racing.Wait()
	var won, may []int
	for i, err := range errs {
		switch {
		case err == nil:
			won = append(won, i)
		case errors.Is(err, blob.ErrUnavailable):
			may = append(may, i)
		case !errors.Is(err, blob.ErrExists):
			return nil, fmt.Errorf("race for %s: %w", key, err)
		}
	}
	if len(won) > 1 {
		return nil, broken("%d of %d that raced were told that they alone had won", len(won), p.racers)
	}
	object, err := p.handle(0).Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read what was raced for: %w", errors.Join(err, errors.Join(errs...)))
	}
	if len(won) == 1 {
		may = won
	}
	if !slices.ContainsFunc(may, func(i int) bool { return bytes.Equal(object.Body, racerBody(round, i)) }) {
		return nil, broken("what is there after a race is not what its winner stored")
	}
	return object.Body, nil
}

// racerBody tells racers apart by content and by size, in all rounds: a bucket's tags
// may be of the content.
func racerBody(round, i int) []byte {
	return []byte(fmt.Sprintf("round %d ", round) + strings.Repeat("+", i))
}

// refused reports whether a Put surely stored nothing, or may be one that S3 answers
// with 409.
func refused(err error) bool {
	return errors.Is(err, blob.ErrExists) || errors.Is(err, blob.ErrUnavailable)
}

func wantBody(ctx context.Context, b blob.Bucket, key string, want []byte) error {
	object, err := b.Get(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotExist):
		return broken("an object is not there right after it was stored")
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case !bytes.Equal(object.Body, want):
		return broken("an object is read as it is not: %d bytes, want %d", len(object.Body), len(want))
	}
	return nil
}

func (p *patient) wantEverywhere(ctx context.Context, key string, want []byte) error {
	for _, h := range p.Handles {
		if err := wantBody(ctx, h, key, want); err != nil {
			return err
		}
	}
	return nil
}

// clock compares the dates of answers with this machine's clock.
func (p *patient) clock(ctx context.Context) (Finding, error) {
	key := p.key("clock")
	if _, err := p.handle(0).Put(ctx, key, nil, blob.IfAbsent()); err != nil {
		return Finding{}, fmt.Errorf("create: %w", err)
	}
	var step time.Duration
	var last time.Time
	for range 5 {
		before := p.Now()
		object, err := p.handle(0).Get(ctx, key)
		after := p.Now()
		switch {
		case err != nil:
			return Finding{}, fmt.Errorf("read: %w", err)
		case object.Date.IsZero():
			return Finding{}, broken("an answer has no date")
		case object.Date.Before(last.Add(-time.Second)):
			return Finding{}, fmt.Errorf("the bucket's clock went back by %s", last.Sub(object.Date).Round(time.Millisecond))
		}
		last = object.Date
		if s := object.Date.Sub(after); s > step {
			step = s
		} else if s := before.Sub(object.Date); s > step {
			step = s
		}
	}
	if step > blob.MaxSkew {
		return Finding{}, fmt.Errorf("the bucket's clock and this machine's are %s apart; no more than %s is safe", step.Round(time.Millisecond), blob.MaxSkew)
	}
	return ok("at most %s from this machine's", step.Round(time.Millisecond)), nil
}

// list wants a list to show what was stored before it, in order and by pages, and not
// what was deleted.
func (p *patient) list(ctx context.Context) (Finding, error) {
	var want []string
	for i := range 12 {
		key := p.key(fmt.Sprintf("list/%02d/object", i))
		if _, err := p.handle(i).Put(ctx, key, []byte("x"), blob.IfAbsent()); err != nil {
			return Finding{}, fmt.Errorf("create: %w", err)
		}
		want = append(want, key)
		if err := p.wantListed(ctx, p.handle(i+1), want); err != nil {
			return Finding{}, err
		}
	}
	for i := range 6 {
		if err := p.handle(i).Delete(ctx, want[0]); err != nil {
			return Finding{}, fmt.Errorf("delete: %w", err)
		}
		want = want[1:]
		if err := p.wantListed(ctx, p.handle(i+1), want); err != nil {
			return Finding{}, err
		}
	}
	return ok("what was stored is there, what was deleted is not"), nil
}

func (p *patient) wantListed(ctx context.Context, b blob.Bucket, want []string) error {
	var got []string
	for page, err := range blob.Pages(ctx, b, blob.ListOptions{Prefix: p.key("list/"), Limit: 5}) {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		for _, e := range page.Entries {
			got = append(got, e.Key)
		}
	}
	if !slices.Equal(got, want) {
		return broken("a list shows %d objects, want %d that were stored before it", len(got), len(want))
	}
	return nil
}

func (p *patient) ranges(ctx context.Context) (Finding, error) {
	key, body := p.key("ranges"), random(200_000)
	if _, err := p.handle(0).Put(ctx, key, body, blob.IfAbsent()); err != nil {
		return Finding{}, fmt.Errorf("create: %w", err)
	}
	n := int64(len(body))
	for _, r := range [][2]int64{{0, 1}, {0, n}, {4096, 8192}, {n - 10, 10}, {n - 10, 100}, {n, 1}, {n + 5, 5}} {
		object, err := p.handle(1).GetRange(ctx, key, r[0], r[1])
		if err != nil {
			return Finding{}, fmt.Errorf("read %d bytes at %d of %d: %w", r[1], r[0], n, err)
		}
		from := min(r[0], n)
		if !bytes.Equal(object.Body, body[from:min(from+r[1], n)]) || object.Size != n {
			return Finding{}, broken("%d bytes at %d of %d are read as they are not", r[1], r[0], n)
		}
	}
	return ok("read as they were stored"), nil
}

func (p *patient) large(ctx context.Context) (Finding, error) {
	const size = 8 << 20
	key, body := p.key("large"), random(size)
	began := time.Now()
	if _, err := p.handle(0).Put(ctx, key, body, blob.IfAbsent()); err != nil {
		return Finding{}, fmt.Errorf("create an object of %d MiB: %w", size>>20, err)
	}
	put := time.Since(began)
	if err := wantBody(ctx, p.handle(1), key, body); err != nil {
		return Finding{}, err
	}
	return ok("%d MiB stored in %s", size>>20, put.Round(time.Millisecond)), nil
}

// random is bytes that nothing compresses or knows already.
func random(size int) []byte {
	body := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = source.Read(body) // It never fails.
	return body
}

// storeSegment is longer than any segment of a store's own keys.
const storeSegment = 128

func (p *patient) names(ctx context.Context) (Finding, error) {
	segment := strings.Repeat("n", storeSegment)
	if _, err := p.handle(0).Put(ctx, p.key(segment), nil, blob.IfAbsent()); err != nil {
		return Finding{}, fmt.Errorf("create a name of %d bytes: %w", storeSegment, err)
	}
	long := strings.Repeat("n", blob.MaxSegmentSize)
	switch _, err := p.handle(0).Put(ctx, p.key(long), nil, blob.IfAbsent()); {
	case errors.Is(err, blob.ErrNotStored):
		return warn("names of branches and backups must be shorter there", "names of %d bytes are refused, of %d taken", len(long), storeSegment), nil
	case err != nil:
		return Finding{}, fmt.Errorf("create a name of %d bytes: %w", len(long), err)
	}
	return ok("%d bytes", len(long)), nil
}

// cleanUp deletes everything under the prefix, also after ctx is done.
func (p *patient) cleanUp(ctx context.Context) (Finding, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	removed := 0
	for {
		page, err := p.handle(0).List(ctx, blob.ListOptions{Prefix: p.Prefix + "/"})
		if err != nil {
			return Finding{}, fmt.Errorf("list: %w", err)
		}
		for _, e := range page.Entries {
			if err := p.handle(0).Delete(ctx, e.Key); err != nil {
				return Finding{}, fmt.Errorf("delete: %w", err)
			}
			removed++
		}
		if !page.More {
			return ok("%d objects removed", removed), nil
		}
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
