package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
)

// sealedStore is a store on a bucket, and a process on it.
type sealedStore struct {
	*testing.T
	bucket  blob.Bucket
	catalog *catalog.Store
	engine  *engine.Engine
	api     http.Handler
}

func newSealedStore(t *testing.T) *sealedStore {
	t.Helper()
	bucket := memblob.New(time.Now)
	s, err := engine.Create(t.Context(), bucket, 1)
	if err != nil {
		t.Fatal(err)
	}
	return (&sealedStore{T: t, bucket: bucket, catalog: s}).process(engine.Keeper())
}

// process is another process on the store.
func (s *sealedStore) process(keeper seal.Keeper) *sealedStore {
	s.Helper()
	e, err := engine.OpenWith(s.Context(), s.bucket, s.catalog, keeper)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := e.Close(); err != nil {
			s.Error(err)
		}
	})
	p := *s
	p.engine, p.api = e, httpapi.New(contract.Options(e.Service))
	return &p
}

// ask sends a user's request, and returns the status and the answer.
func (s *sealedStore) ask(user, method, path, body string) (int, string) {
	s.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("X-API-Key", "back")
	r.Header.Set("X-User-ID", user)
	got := serveOnce(s.api, r)
	return got.Code, got.Body.String()
}

// gets wants the answer of a request to be of a status and to say something.
func (s *sealedStore) gets(user, method, path, body string, status int, says string) {
	s.Helper()
	if got, text := s.ask(user, method, path, body); got != status || !strings.Contains(text, says) {
		s.Errorf("%s %s = %d %s, want %d and %q", method, path, got, text, status, says)
	}
}

// makes sends a request that makes something, and returns the keys.
func (s *sealedStore) makes(user, method, path, body string) (key string, keys []string) {
	s.Helper()
	status, text := s.ask(user, method, path, body)
	var made struct {
		Key  string
		Keys []string
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || status >= 300 {
		s.Fatalf("%s %s = %d %s", method, path, status, text)
	}
	return made.Key, made.Keys
}

// spot is one sealed text in the database.
type spot struct {
	name string
	path string // what shows it
	key  []byte
	get  func() chat.Sealed
	set  func(chat.Sealed) []byte // the record with another text in its place
}

// view reads the partition as it is now.
func (s *sealedStore) view(use func(v *partition.View)) {
	s.Helper()
	v, err := s.engine.Partitions[0].Read(s.Context(), partition.Freshness{})
	if err != nil {
		s.Fatal(err)
	}
	defer v.Close()
	use(v)
}

// put changes records past every rule, as whoever holds the bucket could.
func (s *sealedStore) put(records map[string][]byte) {
	s.Helper()
	p := s.engine.Partitions[0]
	if err := p.Probe(s.Context()); err != nil {
		s.Fatal(err)
	}
	base, err := p.Base()
	if err != nil {
		s.Fatal(err)
	}
	defer base.Close()
	var ops []commitlog.Op
	for key, value := range records {
		ops = append(ops, commitlog.Op{Kind: commitlog.OpSet, Key: []byte(key), Value: value})
	}
	if _, err := p.Append(s.Context(), base, commitlog.Nonce(seal.RandomBytes(len(commitlog.Nonce{}))), ops); err != nil {
		s.Fatal(err)
	}
}

// spots are the sealed texts of every thread, each with the record that holds it.
func (s *sealedStore) spots() (spots []spot) {
	s.Helper()
	s.view(func(v *partition.View) {
		err := v.EachThread(0, 1<<16-1, func(t *chat.Thread) error {
			path := threadPath(t.ID.String())
			thread := func(name string, field func(*chat.Thread) *chat.Sealed) {
				if *field(t) == nil {
					return
				}
				spots = append(spots, spot{
					name: t.ID.String() + " " + name, path: path, key: store.KeyThread(t.ID),
					get: func() chat.Sealed { return *field(t) },
					set: func(text chat.Sealed) []byte {
						changed := *t
						*field(&changed) = text
						return store.EncodeThread(&changed)
					},
				})
			}
			thread("title", func(t *chat.Thread) *chat.Sealed { return &t.Title })
			thread("slug", func(t *chat.Thread) *chat.Sealed { return &t.Slug })
			thread("metadata", func(t *chat.Thread) *chat.Sealed { return &t.Metadata })
			return v.EachMessage(t, func(m *chat.Message) error {
				path := messagePath(t.ID.String(), m.ID.String())
				message := func(name string, field func(*chat.Message) *chat.Sealed) {
					spots = append(spots, spot{
						name: m.ID.String() + " " + name, path: path, key: store.KeyMessage(t.ID, m.ID.Time),
						get: func() chat.Sealed { return *field(m) },
						set: func(text chat.Sealed) []byte {
							changed := *m
							*field(&changed) = text
							return store.EncodeMessage(&changed)
						},
					})
				}
				message("body", func(m *chat.Message) *chat.Sealed { return &m.Body })
				message("metadata", func(m *chat.Message) *chat.Sealed { return &m.Metadata })
				return v.EachRevision(m, func(r *chat.Revision) error {
					spots = append(spots, spot{
						name: fmt.Sprint(m.ID, " revision ", r.Revision), path: path + "/revisions", key: store.KeyRevision(t.ID, m.ID.Time, r.Revision),
						get: func() chat.Sealed { return r.Body },
						set: func(text chat.Sealed) []byte {
							changed := *r
							changed.Body = text
							return store.EncodeRevision(&changed)
						},
					})
					return nil
				})
			})
		})
		if err != nil {
			s.Fatal(err)
		}
	})
	return spots
}

// Any two sealed texts that change places are found out, each by whoever asks for its
// record, and by nobody else.
func TestSwappedTexts(t *testing.T) {
	s := newSealedStore(t)
	fill := func(user, id string) {
		key, keys := s.makes(user, "POST", threadsPath, fmt.Sprintf(`{"id":%q,"title":"a title","slug":"a-slug","metadata":{"a":"b"},`+
			`"messages":[{"body":"a text","metadata":{"a":"b"}},{"body":"a text","metadata":{"a":"b"}}]}`, id))
		for range 2 {
			s.makes(user, "PUT", messagePath(key, keys[0]), `{"body":"a text"}`)
		}
	}
	fill("u1", "one")
	fill("u1", "two")
	fill("u2", "three")
	other, _ := s.makes("u3", "POST", threadsPath, `{"title":"another's"}`)
	owners := map[string]string{}
	s.view(func(v *partition.View) {
		if err := v.EachThread(0, 1<<16-1, func(t *chat.Thread) error {
			owners[t.ID.String()] = t.Owner.User
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	spots := s.spots()
	if want := 3*(3+2*2+2) + 1; len(spots) != want {
		t.Fatalf("%d sealed texts, want %d", len(spots), want)
	}
	user := func(a spot) string {
		key, _, _ := strings.Cut(a.name, " ")
		thread, _, _ := strings.Cut(key, ":m:")
		return owners[thread]
	}
	for _, a := range spots {
		s.gets(user(a), "GET", a.path, "", 200, "")
	}
	for i, a := range spots {
		for _, b := range spots[:i] {
			if string(a.key) == string(b.key) { // each is found out alone: the record fails whole
				s.put(map[string][]byte{string(a.key): a.set(b.get())})
			} else {
				s.put(map[string][]byte{string(a.key): a.set(b.get()), string(b.key): b.set(a.get())})
				s.gets(user(b), "GET", b.path, "", 500, "sealed record damaged: t:")
			}
			s.gets(user(a), "GET", a.path, "", 500, "sealed record damaged: t:")
			if i%5 == 0 && a.path != threadPath(other) && b.path != threadPath(other) {
				s.gets("u3", "GET", threadPath(other), "", 200, "another's")
			}
			s.put(map[string][]byte{string(a.key): a.set(a.get()), string(b.key): b.set(b.get())})
		}
	}
	for _, a := range spots {
		s.gets(user(a), "GET", a.path, "", 200, "")
	}
}

// An earlier title, slug or metadata of a thread does not pass for the one it has.
func TestEarlierTextsOfAThread(t *testing.T) {
	s := newSealedStore(t)
	key, _ := s.makes("u1", "POST", threadsPath, `{"title":"old","slug":"old","metadata":{"a":"old"}}`)
	before := s.spots()
	if status, text := s.ask("u1", "PATCH", threadPath(key), `{"title":"new","slug":"new","metadata":{"a":"new"}}`); status != 200 {
		t.Fatalf("PATCH = %d %s", status, text)
	}
	for i, now := range s.spots() {
		t.Run(now.name, func(t *testing.T) {
			s.put(map[string][]byte{string(now.key): now.set(before[i].get())})
			s.gets("u1", "GET", threadPath(key), "", 500, "sealed record damaged: "+key)
			s.put(map[string][]byte{string(now.key): now.set(now.get())})
			s.gets("u1", "GET", threadPath(key), "", 200, "new")
		})
	}
}

// A process that cannot have its keys fails shut; what needs no key goes on.
func TestKeysThatCannotBeHad(t *testing.T) {
	s := newSealedStore(t)
	key, keys := s.makes("u1", "POST", threadsPath, `{"title":"one","messages":[{"body":"TEXT"}]}`)
	down := engine.Keeper()
	down.Fail(func() error { return seal.ErrUnavailable })
	for name, keeper := range map[string]seal.Keeper{"down or disabled": down, "of another key": sealtest.NewKeeper()} {
		t.Run(name, func(t *testing.T) {
			cold := s.process(keeper)
			for _, r := range []struct{ user, method, path, body string }{
				{"u1", "GET", threadPath(key), ""},
				{"u1", "GET", threadPath(key) + "/messages", ""},
				{"u1", "GET", messagePath(key, keys[0]), ""},
				{"u1", "GET", threadsPath, ""},
				{"u1", "POST", threadsPath, `{"title":"two"}`},
				{"u1", "POST", threadPath(key) + "/messages", `{"body":"two"}`},
				{"u1", "PUT", messagePath(key, keys[0]), `{"body":"two"}`},
				{"u2", "POST", threadsPath, `{"title":"two"}`},
			} {
				status, text := cold.ask(r.user, r.method, r.path, r.body)
				if status != 503 || !strings.Contains(text, `"code":"keys_unavailable"`) || strings.Contains(text, "TEXT") {
					t.Errorf("%s %s = %d %s, want 503 keys unavailable", r.method, r.path, status, text)
				}
			}
			cold.gets("u2", "GET", threadsPath, "", 200, `"threads":[]`)
			s.gets("u1", "GET", threadPath(key), "", 200, "one")
		})
	}
}

// A user key that was tampered with takes its own user's texts, and nobody else's.
func TestTamperedUserKey(t *testing.T) {
	s := newSealedStore(t)
	one, _ := s.makes("u1", "POST", threadsPath, `{"title":"one"}`)
	two, _ := s.makes("u2", "POST", threadsPath, `{"title":"two"}`)
	prefix := keyring.OwnerPrefix(chat.NewHasher(s.catalog.Salt).Owner(chat.Owner{User: "u1"}))
	page, err := s.bucket.List(t.Context(), blob.ListOptions{Prefix: prefix})
	if err != nil || len(page.Entries) != 1 {
		t.Fatalf("List(%s) = %+v, %v, want one key", prefix, page, err)
	}
	object, err := s.bucket.Get(t.Context(), page.Entries[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	object.Body[len(object.Body)-1] ^= 1
	if _, err := s.bucket.Put(t.Context(), page.Entries[0].Key, object.Body, blob.IfMatch(object.ETag)); err != nil {
		t.Fatal(err)
	}
	cold := s.process(engine.Keeper())
	cold.gets("u1", "GET", threadPath(one), "", 500, "sealed record damaged: "+one)
	cold.gets("u1", "POST", threadsPath, `{"title":"x"}`, 500, "sealed record damaged: key of the author")
	cold.gets("u2", "GET", threadPath(two), "", 200, "two")
	cold.gets("u2", "POST", threadsPath, `{"title":"x"}`, 201, "key")
}

// The Keeper is asked once for each process and KEK version, and no more.
func TestKeeperCalls(t *testing.T) {
	s := newSealedStore(t)
	var threads []string
	for n := range 20 {
		key, _ := s.makes(fmt.Sprint("u", n), "POST", threadsPath, `{"title":"one","messages":[{"body":"text"}]}`)
		threads = append(threads, key)
	}
	keeper := engine.Keeper()
	cold := s.process(keeper)
	wants := func(unwraps int) {
		t.Helper()
		if wrapped, unwrapped := keeper.Calls(); wrapped != 0 || unwrapped != unwraps {
			t.Errorf("%d wraps and %d unwraps, want none and %d", wrapped, unwrapped, unwraps)
		}
	}
	wants(0)
	for round := range 3 {
		for n, key := range threads {
			user := fmt.Sprint("u", n)
			cold.gets(user, "GET", threadPath(key)+"/messages?limit="+url.QueryEscape("50"), "", 200, "text")
			cold.makes(user, "POST", threadPath(key)+"/messages", `{"body":"more"}`)
		}
		cold.makes(fmt.Sprint("new", round), "POST", threadsPath, `{"title":"one"}`)
		wants(1)
	}
}

// What was sealed before is opened by a process that knows it from a checkpoint only.
func TestSealedCheckpoint(t *testing.T) {
	s := newSealedStore(t)
	key, keys := s.makes("u1", "POST", threadsPath, `{"title":"one","messages":[{"body":"text"}]}`)
	s.makes("u1", "PUT", messagePath(key, keys[0]), `{"body":"edited"}`)
	if _, err := engine.Compact(context.WithoutCancel(t.Context()), s.bucket, s.catalog, 0); err != nil {
		t.Fatal(err)
	}
	cold := s.process(engine.Keeper())
	cold.gets("u1", "GET", threadPath(key), "", 200, "one")
	cold.gets("u1", "GET", messagePath(key, keys[0]), "", 200, "edited")
	cold.gets("u1", "GET", messagePath(key, keys[0])+"/revisions", "", 200, "text")
}
