package engine_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
	"github.com/bobbindb/bobbin/test/plaintext"
)

// marker is in what no bucket may show.
const marker = "MARKER-OF-A-TEXT"

// remembering is a Sealer that remembers what it was given to seal, and puts a marker
// before it, for most texts of the scripts are too short to be looked for.
type remembering struct {
	chat.Sealer
	mu    sync.Mutex
	texts []string
}

func (r *remembering) Open(ctx context.Context, name chat.Name, keys []chat.DataKey, sealed chat.Sealed) ([]byte, error) {
	text, err := r.Sealer.Open(ctx, name, keys, sealed)
	return bytes.TrimPrefix(text, []byte(marker)), err
}

func (r *remembering) Seal(ctx context.Context, name chat.Name, author chat.Owner, keys []chat.DataKey, text []byte) (chat.Sealed, *chat.DataKey, error) {
	r.mu.Lock()
	r.texts = append(r.texts, string(text))
	r.mu.Unlock()
	return r.Sealer.Seal(ctx, name, author, keys, append([]byte(marker), text...))
}

// telling are the texts that say something wherever they are found. Shorter ones may be
// ids, or come about by chance.
func (r *remembering) telling() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	texts := slices.DeleteFunc(slices.Clone(r.texts), func(s string) bool { return len(s) < 10 })
	slices.Sort(texts)
	return slices.Compact(texts)
}

// scanBucket looks for texts in every object.
func scanBucket(t *testing.T, bucket blob.Bucket, texts []string) (found []string, s *plaintext.Scanner) {
	t.Helper()
	s, err := plaintext.NewScanner(texts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	for after, more := "", true; more; {
		page, err := bucket.List(ctx, blob.ListOptions{After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			object, err := bucket.Get(ctx, e.Key)
			if err != nil {
				t.Fatal(err)
			}
			found, after = append(found, s.Scan(e.Key, object.Body)...), e.Key
		}
		more = page.More
	}
	return found, s
}

// No text of the whole HTTP contract is in any object: not in a commit, a segment, a
// table or a checkpoint, compressed or not.
func TestNoPlaintext(t *testing.T) {
	looked := 0
	contract.Run(t, scripts, func(t *testing.T) *chat.Service {
		bucket := memblob.New(time.Now)
		service := engine.New(t, bucket, 1).Service
		seen := &remembering{Sealer: service.Sealer}
		service.Sealer = seen
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			s, err := catalog.Read(ctx, bucket)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := engine.Compact(ctx, bucket, s, 0); err != nil {
				t.Fatal(err)
			}
			texts := seen.telling()
			looked += len(seen.texts)
			found, _ := scanBucket(t, bucket, append(texts, marker))
			for _, where := range found {
				t.Errorf("plaintext in %.300s", where)
			}
		})
		return service
	})
	if looked < 150 {
		t.Errorf("looked for %d texts, which are too few", looked)
	}
}

// What looks for plaintext finds it in everything that holds records, where it is there.
func TestPlaintextIsFound(t *testing.T) {
	bucket := memblob.New(time.Now)
	service := engine.New(t, bucket, 1).Service
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	fill := func() {
		t.Helper()
		if _, err := service.CreateThread(t.Context(), call, chat.NewThread{Title: strings.Repeat(marker, 100)}); err != nil {
			t.Fatal(err)
		}
		s, err := catalog.Read(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Compact(t.Context(), bucket, s, 0); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	if found, s := scanBucket(t, bucket, []string{marker}); len(found) > 0 || s.Tables == 0 || s.Records == 0 || s.Segments == 0 {
		t.Errorf("found %q in %+v, want nothing, in tables and segments", found, s)
	}
	service.Sealer = sealtest.Copier{}
	fill()
	found, _ := scanBucket(t, bucket, []string{marker})
	for _, kind := range []string{"/log/", "/segments/", "tables/"} {
		if !slices.ContainsFunc(found, func(where string) bool { return strings.Contains(where, kind) }) {
			t.Errorf("found %q, want some in %s", found, kind)
		}
	}
}
