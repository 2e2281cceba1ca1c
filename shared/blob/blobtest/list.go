package blobtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

// listKeys are out of order, and would stay so in a walk that sorts directories by
// their names alone: "a-b" and "a.b" come before "a/b", and "a0" after it.
var listKeys = []string{
	"a0", "a/b", "a-b", "a.b", "a=", "a/b-c", "a/c/d", "a/c-", "a/c0", "aa/a", "aa-a/x",
	"b", "Z/z", "Z-z", "branches/main-7f3k2q/p000/log/00000000000000000001",
	"branches/main-7f3k2q/p000/log/00000000000000000002", "branches/main-7f3k2q/p000/manifest",
	"branches/main/p000/manifest",
}

func testListOrder(t *testing.T, b blob.Bucket) {
	for i, key := range listKeys {
		mustPut(t, b, key, strings.Repeat("x", i), blob.IfAbsent())
	}
	wantListing(t, b, blob.ListOptions{}, listKeys)
	for _, prefix := range []string{
		"a", "a/", "a/c", "a/c/", "a-", "branches/ma", "branches/main-", "branches/main/", "branches/main-7f3k2q/p000/log/0000",
		"none", "a/none/", "b/", "b", "/", ".", ".tmp/", "../", "a//", "a/../", "zz", "branches/main-7f3k2q/p000/manifest",
	} {
		wantListing(t, b, blob.ListOptions{Prefix: prefix}, listKeys)
		for _, after := range append([]string{"0", "a", "a.", "a/b0", "a/c/", "zzz", "branches/main-7f3k2q/p000/m"}, listKeys...) {
			wantListing(t, b, blob.ListOptions{Prefix: prefix, After: after}, listKeys)
		}
	}
	page, err := b.List(t.Context(), blob.ListOptions{})
	if err != nil || page.Date.IsZero() {
		t.Fatalf("List() = date %v, error %v, want a date", page.Date, err)
	}
	for _, entry := range page.Entries {
		if want := slices.Index(listKeys, entry.Key); entry.Size != int64(want) {
			t.Errorf("List() says that %s has %d bytes, want %d", entry.Key, entry.Size, want)
		}
	}
}

func testListEmpty(t *testing.T, b blob.Bucket) {
	page, err := b.List(t.Context(), blob.ListOptions{})
	if err != nil || len(page.Entries) != 0 || page.More || page.Date.IsZero() {
		t.Errorf("List() = %+v, %v, want no entries, no more, and a date", page, err)
	}
}

func testListAfterWrite(t *testing.T, b blob.Bucket) {
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("log/%020d", i))
		mustPut(t, b, keys[i], "x", blob.IfAbsent())
		wantListing(t, b, blob.ListOptions{Prefix: "log/"}, keys)
	}
	for len(keys) > 0 {
		mustDelete(t, b, keys[0])
		keys = keys[1:]
		wantListing(t, b, blob.ListOptions{Prefix: "log/"}, keys)
	}
}

func testListPages(t *testing.T, b blob.Bucket) {
	random := rand.New(rand.NewPCG(1, 2))
	keys := randomKeys(random, 60)
	for _, key := range keys {
		mustPut(t, b, key, "x", blob.IfAbsent())
	}
	prefixes := []string{"", "a", "b-", "a/"}
	for range 20 {
		key := keys[random.IntN(len(keys))]
		prefixes = append(prefixes, key[:random.IntN(len(key))])
	}
	for _, prefix := range prefixes {
		for _, limit := range []int{1, 2, 7, 59, 60, 61} {
			wantPages(t, b, blob.ListOptions{Prefix: prefix, Limit: limit}, keys)
		}
	}
}

// randomKeys returns n keys of which none is a directory of another.
func randomKeys(random *rand.Rand, n int) []string {
	const letters = "-.0=abz_"
	var keys []string
	for len(keys) < n {
		var key strings.Builder
		for depth := 1 + random.IntN(3); depth > 0; depth-- {
			key.WriteByte("0ab_-"[random.IntN(5)])
			for size := random.IntN(2); size > 0; size-- {
				key.WriteByte(letters[random.IntN(len(letters))])
			}
			if depth > 1 {
				key.WriteByte('/')
			}
		}
		clashes := func(other string) bool {
			return other == key.String() || strings.HasPrefix(other, key.String()+"/") || strings.HasPrefix(key.String(), other+"/")
		}
		if !slices.ContainsFunc(keys, clashes) {
			keys = append(keys, key.String())
		}
	}
	return keys
}

// wantPages reads a listing page by page, each after the last key of the one before.
func wantPages(t *testing.T, b blob.Bucket, opts blob.ListOptions, keys []string) {
	t.Helper()
	for {
		wantListing(t, b, opts, keys)
		page, err := b.List(t.Context(), opts)
		if err != nil {
			t.Fatalf("List(%+v) = %v", opts, err)
		}
		if !page.More {
			return
		}
		opts.After = page.Entries[len(page.Entries)-1].Key
	}
}

// wantListing wants of List what opts say of keys. An empty page may say that more
// may follow, but not a page that is not full.
func wantListing(t *testing.T, b blob.Bucket, opts blob.ListOptions, keys []string) {
	t.Helper()
	var want []string
	for _, key := range keys {
		if strings.HasPrefix(key, opts.Prefix) && key > opts.After {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	limit := opts.PageSize()
	more := len(want) > limit
	want = want[:min(limit, len(want))]
	page, err := b.List(t.Context(), opts)
	if err != nil {
		t.Fatalf("List(%+v) = %v", opts, err)
	}
	var got []string
	for _, entry := range page.Entries {
		got = append(got, entry.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("List(%+v) = %q, want %q", opts, got, want)
	}
	if more && !page.More {
		t.Errorf("List(%+v) says that there are no more, and there are", opts)
	}
	if page.More && len(got) < limit {
		t.Errorf("List(%+v) says that there may be more after %d entries of %d", opts, len(got), limit)
	}
}

func testListDefault(t *testing.T, b blob.Bucket) {
	const n, writers = blob.DefaultListLimit + 1, 8
	keys := make([]string, n)
	errs := make([]error, n)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := w; i < n; i += writers {
				keys[i] = fmt.Sprintf("many/%05d", i)
				_, errs[i] = b.Put(t.Context(), keys[i], nil, blob.IfAbsent())
			}
		})
	}
	writing.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("Put() = %v", err)
	}
	for _, limit := range []int{0, -1, blob.DefaultListLimit, 5000} {
		wantPages(t, b, blob.ListOptions{Prefix: "many/", Limit: limit}, keys)
	}
}
