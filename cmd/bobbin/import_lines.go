package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// importer puts conversations into a store.
type importer interface {
	// open makes sure that the store is there, or makes it.
	open(ctx context.Context) error

	// limits says how many groups of lines may be under way at once, and how many
	// bytes a group of several lines may have.
	limits() (groups, size int)

	// put imports lines and returns a result for each, in their order. An error means
	// that the import cannot go on.
	put(ctx context.Context, lines []importLine) ([]lineResult, error)

	close(ctx context.Context) error
}

// importLine is one line of a file, by its number from 1. A line that is too long to
// be a conversation has no text.
type importLine struct {
	number int64
	text   []byte
}

// maxLine is the longest line that is read, in bytes.
const maxLine = 64 << 20

// importGroup is some lines that are put together.
type importGroup struct {
	number int // from 0
	lines  []importLine
	size   int
	names  []string        // of the threads in it
	after  []chan struct{} // closed when an earlier group with one of its threads is in
	done   chan struct{}
}

// importLines puts every line of a text, several groups at a time. Of one thread's
// lines an earlier one is in before a later one is put. each is called for every line
// that was put, by one goroutine at a time, in the order of the lines. Where the text
// cannot be read to its end, the lines before that are put.
func importLines(ctx context.Context, text io.Reader, into importer, each func(lineResult)) error {
	groups, size := into.limits()
	run, ctx := errgroup.WithContext(ctx)
	work := make(chan *importGroup)
	s := &sequence{latest: map[string]chan struct{}{}}
	var unread error
	run.Go(func() error {
		defer close(work)
		unread = s.read(ctx, text, size, work)
		return ctx.Err()
	})
	told := &inOrder{each: each, waiting: map[int][]lineResult{}}
	for range groups {
		run.Go(func() error {
			for g := range work {
				results, err := s.put(ctx, into, g)
				if err != nil {
					return err
				}
				told.done(g.number, results)
			}
			return nil
		})
	}
	err := run.Wait()
	told.rest()
	return cmp.Or(err, unread)
}

// inOrder tells what became of groups in their order.
type inOrder struct {
	mu      sync.Mutex
	each    func(lineResult)
	next    int                  // the group to be told next
	waiting map[int][]lineResult // groups that are done before an earlier one is
}

func (o *inOrder) done(number int, results []lineResult) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting[number] = results
	for results, ok := o.waiting[o.next]; ok; results, ok = o.waiting[o.next] {
		o.tell(o.next, results)
		o.next++
	}
}

func (o *inOrder) tell(number int, results []lineResult) {
	delete(o.waiting, number)
	for _, r := range results {
		o.each(r)
	}
}

// rest tells of the groups that are done although an earlier one never will be.
func (o *inOrder) rest() {
	for _, number := range slices.Sorted(maps.Keys(o.waiting)) {
		o.tell(number, o.waiting[number])
	}
}

// sequence keeps lines of one thread in their order.
type sequence struct {
	mu     sync.Mutex
	latest map[string]chan struct{} // by thread: closed when its latest group is in
}

// read gathers the lines of a text in groups.
func (s *sequence) read(ctx context.Context, text io.Reader, size int, work chan<- *importGroup) error {
	lines := bufio.NewReaderSize(text, 1<<20)
	g := &importGroup{done: make(chan struct{})}
	send := func() error {
		if len(g.lines) == 0 {
			return nil
		}
		s.enter(g)
		select {
		case work <- g:
			g = &importGroup{number: g.number + 1, done: make(chan struct{})}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for number := int64(1); ; number++ {
		line, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(err, send())
		}
		if line == nil || len(bytes.TrimSpace(line)) > 0 {
			if g.size+len(line) > size {
				if err := send(); err != nil {
					return err
				}
			}
			g.lines = append(g.lines, importLine{number: number, text: line})
			g.size += len(line) + 1
		}
		if err != nil {
			return send()
		}
	}
}

// readLine reads a line without its end; one that is too long is nil. The last line
// comes with io.EOF.
func readLine(r *bufio.Reader) ([]byte, error) {
	line := []byte{}
	for {
		part, err := r.ReadSlice('\n')
		if line != nil {
			if line = append(line, part...); len(line) > maxLine {
				line = nil
			}
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

// enter notes which groups have to be in before this one is put.
func (s *sequence) enter(g *importGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range g.lines {
		name := threadOf(line.text)
		if name == "" {
			continue
		}
		if before := s.latest[name]; before != nil && before != g.done {
			g.after = append(g.after, before)
		}
		s.latest[name] = g.done
		g.names = append(g.names, name)
	}
}

// threadOf names the thread that a line is about; "" where the line does not say.
func threadOf(line []byte) string {
	var said struct {
		Thread struct{ ID, Key, Author string } `json:"thread"`
	}
	if json.Unmarshal(line, &said) != nil || said.Thread.ID == "" && said.Thread.Key == "" {
		return ""
	}
	return said.Thread.Author + "\x00" + said.Thread.ID + "\x00" + said.Thread.Key
}

// put puts a group when its turn has come.
func (s *sequence) put(ctx context.Context, into importer, g *importGroup) ([]lineResult, error) {
	defer s.leave(g)
	for _, before := range g.after {
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return into.put(ctx, g.lines)
}

func (s *sequence) leave(g *importGroup) {
	close(g.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range g.names {
		if s.latest[name] == g.done {
			delete(s.latest, name)
		}
	}
}

// tooLong is the result of a line that was not read.
func tooLong(line importLine) lineResult {
	return lineResult{Line: line.number, Error: "the line is longer than 64 MiB", Code: "payload_too_large"}
}

// retries are the waits before a call that may succeed later is made again.
var retries = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 5 * time.Second}

// again makes a call until it succeeds, fails for good or has been made often enough.
// Importing twice is importing once, so that an unknown outcome is tried again too.
func again(ctx context.Context, call func() error, mayPass func(error) bool) error {
	for _, wait := range retries {
		err := call()
		if err == nil || !mayPass(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return call()
}
