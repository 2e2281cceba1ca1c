package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// importer puts conversations into a store.
type importer interface {
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
	lines []importLine
	size  int
	names []string        // of the threads in it
	after []chan struct{} // closed when an earlier group with one of its threads is in
	done  chan struct{}
}

// importLines puts every line of a text, several groups at a time. Of one thread's
// lines an earlier one is in before a later one is put. each is called for every line,
// by one goroutine at a time, in no order.
func importLines(ctx context.Context, text io.Reader, into importer, each func(lineResult)) error {
	groups, size := into.limits()
	run, ctx := errgroup.WithContext(ctx)
	work := make(chan *importGroup)
	s := &sequence{latest: map[string]chan struct{}{}}
	run.Go(func() error {
		defer close(work)
		return s.read(ctx, text, size, work)
	})
	var mu sync.Mutex
	for range groups {
		run.Go(func() error {
			for g := range work {
				results, err := s.put(ctx, into, g)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, r := range results {
					each(r)
				}
				mu.Unlock()
			}
			return nil
		})
	}
	return run.Wait()
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
			g = &importGroup{done: make(chan struct{})}
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
