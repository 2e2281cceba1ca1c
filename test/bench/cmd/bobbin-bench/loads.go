//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bobbindb/bobbin/test/bench/load"
)

const (
	postThreads = 1000
	smallThread = 1000
	largeThread = 100_000
	holedThread = 10_000 // 99 of 100 are deleted
	getMessages = 20_000
)

// subject is a running server and what has been put in it.
type subject struct {
	server
	random   *bodies
	threads  []thread
	messages []messageAt
}

// one is a measurement: a load that can be made for each subject.
type one struct {
	scenario    string
	connections int
	target      target
	make        func(s *subject) load.Options
}

// runLoads measures posts, lists and gets on servers that stay up.
func (b *bench) runLoads(ctx context.Context) (err error) {
	servers, err := b.newServers(ctx, "loads")
	if err != nil {
		return err
	}
	defer func() { err = closeAll(servers, err) }()
	var subjects []*subject
	for i, s := range servers {
		if _, err := startAndAwait(ctx, s, thread{}); err != nil {
			return err
		}
		subject := &subject{server: s, random: newBodies(uint64(i) + 1)}
		if subject.threads, err = createThreads(ctx, s.endpoint(), postThreads); err != nil {
			return err
		}
		subjects = append(subjects, subject)
	}
	for _, part := range []struct {
		scenario string
		run      func(context.Context, []*subject) error
	}{{"post", b.runPosts}, {"list", b.runLists}, {"get", b.runGets}} {
		if !b.options.wants(part.scenario) {
			continue
		}
		if err := part.run(ctx, subjects); err != nil {
			return err
		}
	}
	return nil
}

// measure measures one load on every subject in turn, round by round, adds its
// row and returns Bobbin's figure, or nil without Bobbin.
func (b *bench) measure(ctx context.Context, subjects []*subject, m one) (*figure, error) {
	progress("%s, %d connections", m.scenario, m.connections)
	figures := map[string][]figure{}
	for range b.options.rounds {
		for _, s := range subjects {
			opts := m.make(s)
			opts.Connections = m.connections
			f, err := measureLoad(ctx, s, b.options.duration, opts)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", m.scenario, s.name(), err)
			}
			figures[s.name()] = append(figures[s.name()], f)
		}
	}
	middle := func(name string) *figure {
		if len(figures[name]) == 0 {
			return nil
		}
		f := median(figures[name])
		return &f
	}
	own, peer := middle("bobbin"), middle("postgres")
	b.rows = append(b.rows, loadRow(m.scenario, m.connections, m.target, own, peer))
	return own, nil
}

func (b *bench) runPosts(ctx context.Context, subjects []*subject) error {
	spread := func(s *subject) load.Options {
		return load.Options{Next: postNext(s.endpoint(), s.random, s.threads), Check: expect(201)}
	}
	single := func(s *subject) load.Options {
		return load.Options{Next: postNext(s.endpoint(), s.random, s.threads[:1]), Check: expect(201)}
	}
	for _, m := range []one{
		{"post over 1,000 threads", 64, target{rate: 6000, p99: 40 * time.Millisecond, ratio: 1.7}, spread},
		{"post over 1,000 threads", 16, target{}, spread},
		{"post over 1,000 threads", 1, target{p50: 2 * time.Millisecond}, spread},
		{"post into one thread", 64, target{rate: 3000}, single},
	} {
		if _, err := b.measure(ctx, subjects, m); err != nil {
			return err
		}
	}
	return nil
}

// runLists measures pages of threads of three shapes. What holds for a short
// thread must nearly hold for a long one, so their target is Bobbin's own
// figure for the short one.
func (b *bench) runLists(ctx context.Context, subjects []*subject) error {
	lists := map[string]map[string]thread{} // by kind of thread, then by server
	for _, kind := range []struct {
		name  string
		count int
	}{{"small", smallThread}, {"large", largeThread}, {"holed", holedThread}} {
		lists[kind.name] = map[string]thread{}
		for _, s := range subjects {
			t, err := makeList(ctx, s, kind.count, kind.name == "holed")
			if err != nil {
				return err
			}
			lists[kind.name][s.name()] = t
		}
	}
	for _, s := range subjects {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	of := func(kind string) func(s *subject) load.Options {
		return func(s *subject) load.Options { return listLoad(s.endpoint(), lists[kind][s.name()]) }
	}
	small, err := b.measure(ctx, subjects, one{"list newest 50 of 1,000", 16, target{rate: 2500, ratio: 1.2}, of("small")})
	if err != nil {
		return err
	}
	near := target{ratio: 1.2}
	if small != nil {
		near.rate = small.rate / 1.5
	}
	for _, m := range []one{
		{"list newest 50 of 1,000", 1, target{p50: 1500 * time.Microsecond}, of("small")},
		{"list newest 50 of 100,000", 16, near, of("large")},
		{"list newest 50, 99 of 100 deleted", 16, near, of("holed")},
	} {
		if _, err := b.measure(ctx, subjects, m); err != nil {
			return err
		}
	}
	return nil
}

// makeList makes a thread of so many messages, holed or whole.
func makeList(ctx context.Context, s *subject, count int, holed bool) (thread, error) {
	progress("fill a thread of %s on %s", thousands(int64(count)), s.name())
	threads, err := createThreads(ctx, s.endpoint(), 1)
	if err != nil {
		return thread{}, err
	}
	keys, err := fillThread(ctx, s.endpoint(), s.random, threads[0], count)
	if err == nil && holed {
		err = deleteMessages(ctx, s.endpoint(), threads[0], keys)
	}
	return threads[0], err
}

func listLoad(at endpoint, t thread) load.Options {
	return load.Options{
		Next: func(conn, i int, buf []byte) []byte {
			return at.appendGet(buf, "GET", t.messages()+"?limit=50", t.owner)
		},
		Check: func(status int, body []byte) error {
			if status != 200 || len(body) < 50*bodySize || !bytes.Contains(body[len(body)-1024:], []byte(`"count":50`)) {
				return fmt.Errorf("status %d, %d bytes: not a page of 50: %.200s", status, len(body), body)
			}
			return nil
		},
	}
}

func (b *bench) runGets(ctx context.Context, subjects []*subject) error {
	for _, s := range subjects {
		var err error
		if s.messages, err = postSpread(ctx, s.endpoint(), s.random, s.threads, getMessages); err != nil {
			return err
		}
	}
	for _, s := range subjects {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	_, err := b.measure(ctx, subjects, one{"get one message", 16, target{rate: 13_000, ratio: 1.2}, func(s *subject) load.Options {
		at, source := s.endpoint(), rand.NewPCG(7, 7)
		return load.Options{
			Next: func(conn, i int, buf []byte) []byte {
				m := s.messages[source.Uint64()%uint64(len(s.messages))]
				return at.appendGet(buf, "GET", m.path(), m.thread.owner)
			},
			Check: func(status int, body []byte) error {
				if status != 200 || len(body) < bodySize {
					return fmt.Errorf("status %d, %d bytes: not a message: %.200s", status, len(body), body)
				}
				return nil
			},
		}
	}})
	return err
}
