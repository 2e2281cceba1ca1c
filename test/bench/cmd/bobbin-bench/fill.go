//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/test/bench/load"
)

const (
	users           = 100
	loadConnections = 64
	batchSize       = 100 // messages in one batch request
	conversation    = 100 // messages in one imported conversation
	importLines     = 28  // conversations in one import request, about 3.2 MB
)

func user(i int) string { return fmt.Sprintf("bench-user-%03d", i%users) }

// do runs a bounded load that must not fail.
func do(ctx context.Context, what string, opts load.Options) error {
	opts.MaxErrors = 1
	result, err := load.Run(ctx, opts)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if result.Errors > 0 {
		return fmt.Errorf("%s: %w", what, result.FirstError)
	}
	return ctx.Err()
}

// createThreads makes n threads of 100 users, one after another so that the
// answers come in the order of the requests.
func createThreads(ctx context.Context, at endpoint, n int) ([]thread, error) {
	var keys []string
	err := do(ctx, "create threads", load.Options{
		Addr: at.addr, Connections: 1, Requests: n, Check: collectKeys(&keys),
		Next: func(conn, i int, buf []byte) []byte {
			return at.appendPost(buf, "/frontend/v1/threads", user(i), fmt.Appendf(nil, `{"title":"Thread %d"}`, i))
		},
	})
	if err != nil {
		return nil, err
	}
	threads := make([]thread, len(keys))
	for i, key := range keys {
		threads[i] = thread{key: key, owner: user(i)}
	}
	return threads, nil
}

// postSpread posts n messages over threads in turn and returns where they are.
func postSpread(ctx context.Context, at endpoint, random *bodies, threads []thread, n int) ([]messageAt, error) {
	byKey := map[string]thread{}
	for _, t := range threads {
		byKey[t.key] = t
	}
	var keys []string
	err := do(ctx, "post messages", load.Options{
		Addr: at.addr, Connections: loadConnections, Requests: n, Check: collectKeys(&keys),
		Next: postNext(at, random, threads),
	})
	if err != nil {
		return nil, err
	}
	var messages []messageAt
	for _, key := range keys {
		messages = append(messages, messageAt{byKey[threadOf(key)], key})
	}
	return messages, nil
}

// postNext posts random messages over threads in turn.
func postNext(at endpoint, random *bodies, threads []thread) func(conn, i int, buf []byte) []byte {
	var body []byte
	return func(conn, i int, buf []byte) []byte {
		t := threads[i%len(threads)]
		body = random.appendMessage(body[:0])
		return at.appendPost(buf, t.messages(), t.owner, body)
	}
}

// fillThread puts n messages in one thread, a hundred at a time, and returns their keys.
func fillThread(ctx context.Context, at endpoint, random *bodies, t thread, n int) ([]string, error) {
	var keys []string
	var body []byte
	err := do(ctx, "fill a thread", load.Options{
		Addr: at.addr, Connections: 4, Requests: (n + batchSize - 1) / batchSize, Check: collectKeys(&keys),
		Next: func(conn, i int, buf []byte) []byte {
			body = random.appendBatch(body[:0], min(batchSize, n-i*batchSize))
			return at.appendPost(buf, t.messages()+"/batch", t.owner, body)
		},
	})
	return keys, err
}

// deleteMessages deletes every message but each hundredth.
func deleteMessages(ctx context.Context, at endpoint, t thread, keys []string) error {
	var doomed []string
	for i, key := range keys {
		if i%100 != 0 {
			doomed = append(doomed, key)
		}
	}
	return do(ctx, "delete messages", load.Options{
		Addr: at.addr, Connections: loadConnections, Requests: len(doomed), Check: expect(200),
		Next: func(conn, i int, buf []byte) []byte {
			return at.appendGet(buf, "DELETE", messageAt{t, doomed[i]}.path(), t.owner)
		},
	})
}

// fillStore puts about n messages in a store and returns one thread of them
// with at least a page of messages.
func fillStore(ctx context.Context, at endpoint, random *bodies, how string, n int) (thread, error) {
	if how == fillImport {
		return importRandom(ctx, at, random, n)
	}
	threads, err := createThreads(ctx, at, max(1, min(10_000, n/conversation)))
	if err != nil {
		return thread{}, err
	}
	if how == fillPost {
		_, err := postSpread(ctx, at, random, threads, n)
		return threads[0], err
	}
	var body []byte
	err = do(ctx, "post batches", load.Options{
		Addr: at.addr, Connections: 8, Requests: (n + batchSize - 1) / batchSize, Check: expect(201),
		Next: func(conn, i int, buf []byte) []byte {
			t := threads[i%len(threads)]
			body = random.appendBatch(body[:0], batchSize)
			return at.appendPost(buf, t.messages()+"/batch", t.owner, body)
		},
	})
	return threads[0], err
}

// importRandom imports whole conversations through the admin route.
func importRandom(ctx context.Context, at endpoint, random *bodies, n int) (thread, error) {
	const perRequest = importLines * conversation
	now := time.Now().UnixNano()
	name := func(i int) string { return fmt.Sprintf("fill-%07d", i) }
	var body []byte
	err := do(ctx, "import conversations", load.Options{
		Addr: at.addr, Connections: 3, Requests: (n + perRequest - 1) / perRequest, Check: checkImport,
		Next: func(conn, i int, buf []byte) []byte {
			body = body[:0]
			for line := range importLines {
				k := i*importLines + line
				body = random.appendConversation(body, name(k), user(k), conversation, now)
			}
			return at.appendPost(buf, "/admin/import", "", body)
		},
	})
	if err != nil {
		return thread{}, err
	}
	key, err := threadKey(ctx, at, "id:"+name(0), user(0))
	return thread{key: key, owner: user(0)}, err
}

// checkImport wants a result for each line, and no line that failed.
func checkImport(status int, body []byte) error {
	if err := expect(200)(status, body); err != nil {
		return err
	}
	if at := bytes.Index(body, []byte(`"error"`)); at >= 0 {
		return fmt.Errorf("a line was refused: %.300s", body[max(0, at-100):])
	}
	if lines := bytes.Count(bytes.TrimSpace(body), []byte("\n")) + 1; lines != importLines {
		return fmt.Errorf("%d result lines for %d conversations: %.300s", lines, importLines, body)
	}
	return nil
}

// threadKey asks for a thread by another name and returns its key.
func threadKey(ctx context.Context, at endpoint, name, owner string) (string, error) {
	var key string
	err := do(ctx, "find thread "+name, load.Options{
		Addr: at.addr, Connections: 1, Requests: 1,
		Next: func(conn, i int, buf []byte) []byte {
			return at.appendGet(buf, "GET", thread{key: name}.path(), owner)
		},
		Check: func(status int, body []byte) error {
			if err := expect(200)(status, body); err != nil {
				return err
			}
			_, rest, found := bytes.Cut(body, []byte(`"key":"`))
			text, _, closed := bytes.Cut(rest, []byte(`"`))
			if !found || !closed {
				return errors.New("the answer names no key")
			}
			key = string(text)
			return nil
		},
	})
	return key, err
}

// threadOf is the thread part of a message's key.
func threadOf(message string) string {
	key, _, _ := strings.Cut(message, ":m:")
	return key
}
