package commitlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Errors of Append and Tail. After any error of Append the commit was not acknowledged.
var (
	// ErrLost: another commit has the number. Append returns it.
	ErrLost = errors.New("another commit has this number")
	// ErrBehind: the number is behind the floor, and its commits are gone: reopen.
	ErrBehind = errors.New("number is behind the floor")
	// ErrUnknown: it may or may not be stored, now or later.
	ErrUnknown = errors.New("outcome of append is unknown")
	// ErrTooLarge: no reader would take a commit of this size. Nothing was sent.
	ErrTooLarge = errors.New("commit is too large")
)

// blockSize is how many commits a cold reader finds with one request: a block ends at
// a seq that is 15 modulo 16.
const blockSize = 16

// maxCarried bounds the predecessors that a commit carries.
const maxCarried = 64 << 10

// Log is one partition's log in a bucket.
type Log struct {
	bucket blob.Bucket
	prefix string
	folder blob.Folder // the bucket if it is one, else nil

	mu     sync.Mutex
	recent [blockSize]*Commit // the newest commit known of each seq modulo 16, to be carried
}

// New returns the log under a partition's prefix: "branches/<branch>/p<000>", without a
// slash at its end.
func New(bucket blob.Bucket, prefix string) *Log {
	folder, _ := bucket.(blob.Folder)
	return &Log{bucket: bucket, prefix: prefix, folder: folder}
}

// Key is the key of a commit's object.
func (l *Log) Key(seq Seq) string { return CommitKey(l.prefix, seq) }

// CommitKey is the key of a commit's object under a partition's prefix.
func CommitKey(prefix string, seq Seq) string { return prefix + "/log/" + seq.String() }

// Get reads a commit. Those of its predecessors that it carries are returned newest
// first, each verified by hash. What is carried is a hint and no part of the log: where
// it does not chain it is left out, and whoever wants it reads the log. The date is the
// bucket's, also with blob.ErrNotExist.
func (l *Log) Get(ctx context.Context, seq Seq) (c *Commit, carried []*Commit, date time.Time, err error) {
	o, err := l.bucket.Get(ctx, l.Key(seq))
	return l.decode(seq, o, err)
}

// fetch is Get for who reads many commits that are there. Its date is the bucket's only
// with blob.ErrNotExist: in a folder the file is read in place, without what an ETag and
// a date cost.
func (l *Log) fetch(ctx context.Context, seq Seq) (c *Commit, carried []*Commit, date time.Time, err error) {
	if l.folder == nil {
		return l.Get(ctx, seq)
	}
	body, err := l.readInPlace(seq)
	if errors.Is(err, blob.ErrNotExist) {
		return l.Get(ctx, seq)
	}
	return l.decode(seq, blob.Object{Body: body}, err)
}

func (l *Log) readInPlace(seq Seq) ([]byte, error) {
	file, err := l.folder.OpenFile(l.Key(seq))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
	}
	body := make([]byte, info.Size())
	if _, err := io.ReadFull(file, body); err != nil {
		return nil, fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
	}
	return body, nil
}

// decode reads what the bucket answered when it was asked for a commit.
func (l *Log) decode(seq Seq, o blob.Object, err error) (c *Commit, carried []*Commit, date time.Time, _ error) {
	if errors.Is(err, blob.ErrNotExist) {
		return nil, nil, o.Date, err // the answer that every strong read waits for: it names the key
	}
	if err != nil {
		return nil, nil, o.Date, fmt.Errorf("get commit %s: %w", l.Key(seq), err)
	}
	c, cores, err := decodeObject(o.Body)
	if err != nil {
		return nil, nil, o.Date, fmt.Errorf("get commit %s: %w", l.Key(seq), err)
	}
	if c.Seq != seq {
		return nil, nil, o.Date, fmt.Errorf("get commit %s: it says %s: %w", l.Key(seq), c.Seq, ErrDamaged)
	}
	for next := c; len(cores) > 0; cores = cores[1:] {
		p, err := decodeCore(cores[0])
		if err != nil || p.Seq != next.Seq-1 || p.hash != next.Prev {
			break
		}
		carried, next = append(carried, p), p
	}
	return c, carried, o.Date, nil
}

// Remember keeps an encoded commit at hand, so that the next ones of its block carry it.
func (l *Log) Remember(c *Commit) {
	if l.folder != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent[c.Seq%blockSize] = c
}

// carry returns the predecessors of a commit in its block, newest first.
func (l *Log) carry(c *Commit) [][]byte {
	if l.folder != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var cores [][]byte
	size := 0
	for next := c; next.Seq%blockSize != 0 && next.Seq > 1; {
		p := l.recent[(next.Seq-1)%blockSize]
		if p == nil || p.Seq != next.Seq-1 || p.hash != next.Prev || size+len(p.core) > maxCarried {
			break
		}
		cores, size, next = append(cores, p.core), size+len(p.core), p
	}
	return cores
}

// The pauses between attempts of Append.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// Append creates an encoded commit's object. It returns the date of the answer that
// settled the matter. With ErrLost it returns the commit that has the number.
//
// An unclear answer is followed by reading back: our commit there means that an earlier
// attempt of ours was stored, another's that we lost; nothing there means that the
// same bytes are tried again, until ctx ends. blob.ErrDenied and blob.ErrNotStored are
// final only when no earlier attempt is open. When ctx has ended before the first
// attempt, the error is ctx's and not ErrUnknown: nothing was sent.
//
// ErrBehind may come after an attempt that was open: then our commit may be in the
// history whose end the caller has lost sight of.
func (l *Log) Append(ctx context.Context, c *Commit) (winner *Commit, date time.Time, err error) {
	if c.core == nil {
		c.Encode()
	}
	if len(c.core)-coreHeader > maxCore {
		return nil, time.Time{}, fmt.Errorf("append commit %s of %d bytes: %w", c.Seq, len(c.core), ErrTooLarge)
	}
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("append commit %s: %w", c.Seq, err)
	}
	key, body := l.Key(c.Seq), encodeObject(c.core, l.carry(c))
	open := false // the outcome of an attempt is not known
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		info, err := l.bucket.Put(ctx, key, body, blob.IfAbsent())
		if err == nil {
			l.Remember(c)
			return nil, info.Date, nil
		}
		if blob.NotStored(err) && !open {
			return nil, info.Date, fmt.Errorf("append commit %s: %w", c.Seq, err)
		}
		exists := errors.Is(err, blob.ErrExists)
		open = open || !exists
		found, _, date, readErr := l.Get(ctx, c.Seq)
		switch {
		case readErr == nil && found.hash == c.hash: // so the nonce is ours
			l.Remember(c)
			return nil, date, nil
		case readErr == nil:
			l.Remember(found)
			return found, date, fmt.Errorf("append commit %s: %w", c.Seq, ErrLost)
		case exists && errors.Is(readErr, blob.ErrNotExist):
			return nil, date, fmt.Errorf("append commit %s: %w", c.Seq, ErrBehind)
		case errors.Is(readErr, ErrDamaged), errors.Is(readErr, ErrUnknownFormat):
			return nil, date, fmt.Errorf("append: %w", readErr)
		}
		if blob.Wait(ctx, pause) != nil {
			return nil, time.Time{}, fmt.Errorf("append commit %s: %w: %w; %w", c.Seq, ErrUnknown, err, readErr)
		}
	}
}
