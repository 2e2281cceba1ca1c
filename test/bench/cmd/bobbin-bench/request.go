//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
)

// bodySize is the length of a random body's text.
const bodySize = 1024

// bodies makes random text quickly. It is not for two goroutines at once.
type bodies struct{ source *rand.PCG }

func newBodies(seed uint64) *bodies { return &bodies{rand.NewPCG(seed, 0x9e3779b97f4a7c15)} }

// append adds n characters of the base64 alphabet: valid in a JSON string, and
// with six random bits each as good as incompressible.
func (s *bodies) append(b []byte, n int) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for n > 0 {
		bits := s.source.Uint64()
		for range min(n, 10) {
			b = append(b, alphabet[bits&63])
			bits >>= 6
		}
		n -= 10
	}
	return b
}

// thread is a thread's key and the user who may use it.
type thread struct{ key, owner string }

func (t thread) path() string { return "/frontend/v1/threads/" + escape(t.key) }

func (t thread) messages() string { return t.path() + "/messages" }

// messageAt is a message's key in its thread.
type messageAt struct {
	thread thread
	key    string
}

func (m messageAt) path() string { return m.thread.messages() + "/" + escape(m.key) }

// escape encodes a key as the SDKs do, colons too.
func escape(key string) string { return strings.ReplaceAll(url.PathEscape(key), ":", "%3A") }

// appendHead writes a request up to its Content-Length header's value.
func (e endpoint) appendHead(b []byte, method, path, user string) []byte {
	b = append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, e.addr...), "\r\nAuthorization: Bearer "...)
	if user == "" {
		return append(b, e.adminKey...)
	}
	b = append(append(b, e.backendKey...), "\r\nX-User-ID: "...)
	return append(b, user...)
}

// appendGet writes a request without a body.
func (e endpoint) appendGet(b []byte, method, path, user string) []byte {
	return append(e.appendHead(b, method, path, user), "\r\n\r\n"...)
}

// appendPost writes a request with a body.
func (e endpoint) appendPost(b []byte, path, user string, body []byte) []byte {
	b = append(e.appendHead(b, "POST", path, user), "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	return append(b, body...)
}

// appendMessage adds one random message's JSON object.
func (s *bodies) appendMessage(b []byte) []byte {
	return append(s.append(append(b, `{"body":"`...), bodySize), `"}`...)
}

// appendBatch adds the request body for n random messages in one commit.
func (s *bodies) appendBatch(b []byte, n int) []byte {
	b = append(b, `{"messages":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendMessage(b)
	}
	return append(b, "]}"...)
}

// appendConversation adds one import line of n random messages, a second apart
// and ending now.
func (s *bodies) appendConversation(b []byte, id, owner string, n int, now int64) []byte {
	const second = 1_000_000_000
	first := now - int64(n)*second
	b = fmt.Appendf(b, `{"thread":{"id":%q,"author":%q,"title":"Conversation %s","created_ts":%d,"members":[]},"messages":[`, id, owner, id, first)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"id":"m%d","author":%q,"role":"user","created_ts":%d,"body":"`, i, owner, first+int64(i)*second)
		b = append(s.append(b, bodySize), `"}`...)
	}
	return append(b, "]}\n"...)
}

// expect makes a check that wants one status.
func expect(want int) func(status int, body []byte) error {
	return func(status int, body []byte) error {
		if status != want {
			return fmt.Errorf("status %d, want %d: %.200s", status, want, body)
		}
		return nil
	}
}

// collectKeys makes a check that wants a 201 and appends the key, or keys, that it answers.
func collectKeys(into *[]string) func(status int, body []byte) error {
	return func(status int, body []byte) error {
		if err := expect(201)(status, body); err != nil {
			return err
		}
		var answer struct {
			Key  string
			Keys []string
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		if answer.Key != "" {
			answer.Keys = append(answer.Keys, answer.Key)
		}
		*into = append(*into, answer.Keys...)
		return nil
	}
}
