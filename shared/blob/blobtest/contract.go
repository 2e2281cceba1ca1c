package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Quirk is a part of the contract that a bucket does not keep, and why that does no
// harm.
type Quirk string

// ContentTags: an ETag is a hash of the bytes, so equal bytes have equal ETags (S3).
// Whoever swaps objects puts a nonce in each.
const ContentTags Quirk = "ETags are of the content"

// racers is the number of Puts that race.
const racers = 50

// Run tests that a bucket keeps the contract of blob.Bucket. Each subtest opens one,
// which must be empty, and tests what its name says.
func Run(t *testing.T, open func(t *testing.T) blob.Bucket, quirks ...Quirk) {
	tests := []struct {
		name string
		test func(*testing.T, blob.Bucket)
		not  Quirk
	}{
		{name: "a created object is read", test: testCreate},
		{name: "an absent object is ErrNotExist", test: testAbsent},
		{name: "create of an existing object is ErrExists", test: testExists},
		{name: "swap of the version read", test: testSwap},
		{name: "swap of another version is ErrExists", test: testStaleSwap},
		{name: "swap of an absent object is ErrExists", test: testAbsentSwap},
		{name: "no condition is ErrNotStored", test: testNoCondition},
		{name: "one of many creates wins", test: testCreateRace},
		{name: "one of many swaps wins", test: testSwapRace},
		{name: "concurrent increments all count", test: testIncrements},
		{name: "equal content is another version", test: testEqualContent, not: ContentTags},
		{name: "an object created again is another version", test: testRecreate, not: ContentTags},
		{name: "delete", test: testDelete},
		{name: "ranges", test: testRanges},
		{name: "empty bodies", test: testEmptyBody},
		{name: "a large body", test: testLargeBody},
		{name: "bodies are copies", test: testAliasing},
		{name: "a cancelled context", test: testCancelled},
		{name: "keys are checked", test: testKeys},
		{name: "list in byte order", test: testListOrder},
		{name: "list of an empty bucket", test: testListEmpty},
		{name: "list sees what was done before it", test: testListAfterWrite},
		{name: "list pages", test: testListPages},
		{name: "list of 1001 objects has two pages", test: testListDefault},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.not != "" && slices.Contains(quirks, tt.not) {
				t.Skipf("not for this bucket: %s", tt.not)
			}
			tt.test(t, open(t))
		})
	}
}

func testCreate(t *testing.T, b blob.Bucket) {
	put := mustPut(t, b, "dir/sub/object-1", "text", blob.IfAbsent())
	got := mustGet(t, b, "dir/sub/object-1")
	if string(got.Body) != "text" || got.Size != 4 || put.Size != 4 {
		t.Errorf("Get() = %q of size %d, Put() said size %d, want %q of 4", got.Body, got.Size, put.Size, "text")
	}
	if got.ETag != put.ETag || got.ETag == "" {
		t.Errorf("Get() has ETag %q, Put() gave %q, want them equal and not empty", got.ETag, put.ETag)
	}
	if put.Date.IsZero() || got.Date.IsZero() {
		t.Errorf("Date of Put() = %v, of Get() = %v, want both set", put.Date, got.Date)
	}
}

func testAbsent(t *testing.T, b blob.Bucket) {
	mustPut(t, b, "dir/there", "x", blob.IfAbsent())
	for _, key := range []string{"dir/absent", "absent/object", "dir", "dir/there/below"} {
		got, err := b.Get(t.Context(), key)
		if !errors.Is(err, blob.ErrNotExist) || got.Date.IsZero() {
			t.Errorf("Get(%s) = date %v, error %v, want a date and ErrNotExist", key, got.Date, err)
		}
		got, err = b.GetRange(t.Context(), key, 0, 1)
		if !errors.Is(err, blob.ErrNotExist) || got.Date.IsZero() {
			t.Errorf("GetRange(%s) = date %v, error %v, want a date and ErrNotExist", key, got.Date, err)
		}
	}
}

func testExists(t *testing.T, b blob.Bucket) {
	first := mustPut(t, b, "k", "first", blob.IfAbsent())
	wantExists(t, b, "k", blob.IfAbsent())
	wantObject(t, b, "k", "first", first.ETag)
}

func testSwap(t *testing.T, b blob.Bucket) {
	tag := mustPut(t, b, "k", "0", blob.IfAbsent()).ETag
	seen := map[blob.ETag]bool{tag: true}
	for i := 1; i <= 5; i++ {
		body := fmt.Sprint(i)
		tag = mustPut(t, b, "k", body, blob.IfMatch(tag)).ETag
		if seen[tag] {
			t.Errorf("swap %d gave ETag %q, which an earlier version had", i, tag)
		}
		seen[tag] = true
		wantObject(t, b, "k", body, tag)
	}
}

func testStaleSwap(t *testing.T, b blob.Bucket) {
	first := mustPut(t, b, "k", "first", blob.IfAbsent())
	second := mustPut(t, b, "k", "second", blob.IfMatch(first.ETag))
	wantExists(t, b, "k", blob.IfMatch(first.ETag))
	wantExists(t, b, "k", blob.IfMatch("no-such-tag"))
	wantObject(t, b, "k", "second", second.ETag)
}

func testAbsentSwap(t *testing.T, b blob.Bucket) {
	wantExists(t, b, "dir/never-there", blob.IfMatch("any"))
	gone := mustPut(t, b, "dir/gone", "x", blob.IfAbsent())
	mustDelete(t, b, "dir/gone")
	wantExists(t, b, "dir/gone", blob.IfMatch(gone.ETag))
	wantAbsent(t, b, "dir/never-there")
	wantAbsent(t, b, "dir/gone")
}

func testNoCondition(t *testing.T, b blob.Bucket) {
	for _, when := range []blob.Condition{{}, blob.IfMatch("")} {
		if _, err := b.Put(t.Context(), "k", []byte("x"), when); !errors.Is(err, blob.ErrNotStored) {
			t.Errorf("Put() without a condition = %v, want ErrNotStored", err)
		}
	}
	wantAbsent(t, b, "k")
}

func testCreateRace(t *testing.T, b blob.Bucket) {
	wantOneWinner(t, b, "race/created", blob.IfAbsent())
}

func testSwapRace(t *testing.T, b blob.Bucket) {
	tag := mustPut(t, b, "race/swapped", "before", blob.IfAbsent()).ETag
	wantOneWinner(t, b, "race/swapped", blob.IfMatch(tag))
}

// wantOneWinner lets many Puts of one condition race.
func wantOneWinner(t *testing.T, b blob.Bucket, key string, when blob.Condition) {
	t.Helper()
	infos, errs := make([]blob.Info, racers), make([]error, racers)
	together(func(i int) {
		infos[i], errs[i] = b.Put(t.Context(), key, racerBody(i), when)
	})
	var winners []int
	for i, err := range errs {
		switch {
		case err == nil:
			winners = append(winners, i)
		case !errors.Is(err, blob.ErrExists):
			t.Errorf("Put() of racer %d = %v, want nil or ErrExists", i, err)
		case infos[i].Date.IsZero():
			t.Errorf("Put() of racer %d gave ErrExists without a Date", i)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("racers %v won, want exactly one", winners)
	}
	wantObject(t, b, key, string(racerBody(winners[0])), infos[winners[0]].ETag)
}

// together calls do once for each racer, all at once, and waits for them.
func together(do func(i int)) {
	start := make(chan struct{})
	var racing sync.WaitGroup
	for i := range racers {
		racing.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	racing.Wait()
}

// racerBody tells racers apart by content and by size.
func racerBody(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 100+i) }

func testIncrements(t *testing.T, b blob.Bucket) {
	const goroutines, each = 5, 4
	mustPut(t, b, "n", "", blob.IfAbsent())
	var counting sync.WaitGroup
	for range goroutines {
		counting.Go(func() {
			for range each {
				increment(t, b, "n")
			}
		})
	}
	counting.Wait()
	if got := mustGet(t, b, "n"); got.Size != goroutines*each {
		t.Errorf("the count is %d, want %d", got.Size, goroutines*each)
	}
}

// increment makes the object a byte longer, however often it has to try.
func increment(t *testing.T, b blob.Bucket, key string) {
	for {
		old, err := b.Get(t.Context(), key)
		if err != nil {
			t.Errorf("Get(%s) = %v", key, err)
			return
		}
		_, err = b.Put(t.Context(), key, append(old.Body, '+'), blob.IfMatch(old.ETag))
		if err == nil {
			return
		}
		if !errors.Is(err, blob.ErrExists) {
			t.Errorf("Put(%s) = %v", key, err)
			return
		}
	}
}

func testEqualContent(t *testing.T, b blob.Bucket) {
	for _, size := range []int{4, 1 << 20} {
		key, body := fmt.Sprintf("k%d", size), strings.Repeat("x", size)
		first := mustPut(t, b, key, body, blob.IfAbsent())
		second := mustPut(t, b, key, body, blob.IfMatch(first.ETag))
		if second.ETag == first.ETag {
			t.Errorf("swap for equal content of %d bytes gave ETag %q again", size, second.ETag)
		}
		wantExists(t, b, key, blob.IfMatch(first.ETag))
		wantObject(t, b, key, body, second.ETag)
	}
}

func testRecreate(t *testing.T, b blob.Bucket) {
	for _, size := range []int{4, 1 << 20} {
		key, body := fmt.Sprintf("k%d", size), strings.Repeat("x", size)
		first := mustPut(t, b, key, body, blob.IfAbsent())
		mustDelete(t, b, key)
		second := mustPut(t, b, key, body, blob.IfAbsent())
		if second.ETag == first.ETag {
			t.Errorf("create of equal content of %d bytes after delete gave ETag %q again", size, second.ETag)
		}
		wantExists(t, b, key, blob.IfMatch(first.ETag))
		wantObject(t, b, key, body, second.ETag)
	}
}

func testDelete(t *testing.T, b blob.Bucket) {
	mustPut(t, b, "dir/k", "x", blob.IfAbsent())
	mustPut(t, b, "dir/other", "y", blob.IfAbsent())
	mustDelete(t, b, "dir/k")
	wantAbsent(t, b, "dir/k")
	for _, key := range []string{"dir/k", "dir", "nowhere/k", "dir/other/below"} {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%s) of nothing = %v, want nil", key, err)
		}
	}
	if got := mustGet(t, b, "dir/other"); string(got.Body) != "y" {
		t.Errorf("Get() of the other object = %q, want %q", got.Body, "y")
	}
	mustPut(t, b, "dir/k", "again", blob.IfAbsent())
}

func testRanges(t *testing.T, b blob.Bucket) {
	for _, key := range []string{"small", "large"} {
		text := "0123456789"
		if key == "large" {
			text = strings.Repeat(text, 20_000)
		}
		put := mustPut(t, b, key, text, blob.IfAbsent())
		n := int64(len(text))
		for _, r := range []struct{ offset, size int64 }{
			{0, 4}, {3, 4}, {n - 2, 2}, {n - 2, 100}, {0, n}, {0, n + 1}, {n, 1}, {n + 5, 3}, {4, 0}, {2, 1<<63 - 1},
		} {
			got, err := b.GetRange(t.Context(), key, r.offset, r.size)
			from := min(r.offset, n)
			want := text[from : from+min(r.size, n-from)]
			if err != nil || string(got.Body) != want {
				t.Errorf("GetRange(%s, %d, %d) = %d bytes, %v, want %d", key, r.offset, r.size, len(got.Body), err, len(want))
			}
			if got.Size != n || got.ETag != put.ETag || got.Date.IsZero() {
				t.Errorf("GetRange(%s, %d, %d) has Info %+v, want size %d, tag %q and a date", key, r.offset, r.size, got.Info, n, put.ETag)
			}
		}
		for _, r := range []struct{ offset, size int64 }{{-1, 2}, {0, -1}} {
			if _, err := b.GetRange(t.Context(), key, r.offset, r.size); err == nil {
				t.Errorf("GetRange(%s, %d, %d) = nil error, want one", key, r.offset, r.size)
			}
		}
	}
}

func testEmptyBody(t *testing.T, b blob.Bucket) {
	tag := mustPut(t, b, "empty", "", blob.IfAbsent()).ETag
	wantObject(t, b, "empty", "", tag)
	if got, err := b.GetRange(t.Context(), "empty", 0, 10); err != nil || len(got.Body) != 0 {
		t.Errorf("GetRange() = %q, %v, want nothing", got.Body, err)
	}
	tag = mustPut(t, b, "empty", "full", blob.IfMatch(tag)).ETag
	tag = mustPut(t, b, "empty", "", blob.IfMatch(tag)).ETag
	wantObject(t, b, "empty", "", tag)
}

func testLargeBody(t *testing.T, b blob.Bucket) {
	body := make([]byte, 5<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body) // It never fails.
	tag := mustPut(t, b, "large", string(body), blob.IfAbsent()).ETag
	wantObject(t, b, "large", string(body), tag)
	body[len(body)-1]++
	wantObject(t, b, "large", string(body), mustPut(t, b, "large", string(body), blob.IfMatch(tag)).ETag)
}

func testAliasing(t *testing.T, b blob.Bucket) {
	sent := []byte("text")
	if _, err := b.Put(t.Context(), "k", sent, blob.IfAbsent()); err != nil {
		t.Fatalf("Put() = %v", err)
	}
	sent[0] = '!'
	mustGet(t, b, "k").Body[1] = '!'
	part, err := b.GetRange(t.Context(), "k", 2, 2)
	if err != nil {
		t.Fatalf("GetRange() = %v", err)
	}
	part.Body[0] = '!'
	if got := mustGet(t, b, "k"); string(got.Body) != "text" {
		t.Errorf("Get() = %q after the callers' bytes were changed, want %q", got.Body, "text")
	}
}

func testCancelled(t *testing.T, b blob.Bucket) {
	tag := mustPut(t, b, "k", "text", blob.IfAbsent()).ETag
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Get":      func() error { _, err := b.Get(ctx, "k"); return err },
		"GetRange": func() error { _, err := b.GetRange(ctx, "k", 0, 1); return err },
		"create":   func() error { _, err := b.Put(ctx, "new", []byte("x"), blob.IfAbsent()); return err },
		"swap":     func() error { _, err := b.Put(ctx, "k", []byte("text"), blob.IfMatch(tag)); return err },
		"List":     func() error { _, err := b.List(ctx, blob.ListOptions{}); return err },
		"Delete":   func() error { return b.Delete(ctx, "other") },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
	if got := mustGet(t, b, "k"); string(got.Body) != "text" {
		t.Errorf("Get() = %q afterwards, want %q", got.Body, "text")
	}
}

func testKeys(t *testing.T, b blob.Bucket) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.hidden", ".tmp/a",
		"a b", "a\\b", "a:b", "a\x00b", "ä", "a%2fb", "a\nb", "~", "a*",
		strings.Repeat("a", blob.MaxSegmentSize+1), strings.Repeat("a/", blob.MaxKeySize/2) + "a",
	} {
		_, getErr := b.Get(t.Context(), key)
		_, rangeErr := b.GetRange(t.Context(), key, 0, 1)
		_, createErr := b.Put(t.Context(), key, []byte("x"), blob.IfAbsent())
		_, swapErr := b.Put(t.Context(), key, []byte("x"), blob.IfMatch("tag"))
		for op, err := range map[string]error{"Get": getErr, "GetRange": rangeErr, "create": createErr,
			"swap": swapErr, "Delete": b.Delete(t.Context(), key)} {
			if !errors.Is(err, blob.ErrInvalidKey) {
				t.Errorf("%s of key %q = %v, want ErrInvalidKey", op, key, err)
			}
		}
	}
	for _, key := range []string{
		"a", "Z", "0", "-", "_", "=", "a.b", "a..b", "a.", "-._/_=/=", "log/00000000000000000001",
		strings.Repeat("s", blob.MaxSegmentSize), strings.Repeat(strings.Repeat("d", 127)+"/", blob.MaxKeySize/128-1) + strings.Repeat("d", 128),
	} {
		wantObject(t, b, key, "x", mustPut(t, b, key, "x", blob.IfAbsent()).ETag)
	}
}

func mustPut(t *testing.T, b blob.Bucket, key, body string, when blob.Condition) blob.Info {
	t.Helper()
	info, err := b.Put(t.Context(), key, []byte(body), when)
	if err != nil {
		t.Fatalf("Put(%.40s) = %v", key, err)
	}
	return info
}

func mustGet(t *testing.T, b blob.Bucket, key string) blob.Object {
	t.Helper()
	object, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%.40s) = %v", key, err)
	}
	return object
}

func mustDelete(t *testing.T, b blob.Bucket, key string) {
	t.Helper()
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatalf("Delete(%s) = %v", key, err)
	}
}

func wantObject(t *testing.T, b blob.Bucket, key, body string, tag blob.ETag) {
	t.Helper()
	got := mustGet(t, b, key)
	if string(got.Body) != body || got.Size != int64(len(body)) || got.ETag != tag {
		t.Errorf("Get(%.40s) = %.40q (%d bytes, size %d) with ETag %q, want %.40q (%d bytes) with %q",
			key, got.Body, len(got.Body), got.Size, got.ETag, body, len(body), tag)
	}
}

func wantAbsent(t *testing.T, b blob.Bucket, key string) {
	t.Helper()
	if got, err := b.Get(t.Context(), key); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Get(%s) = %.40q, %v, want ErrNotExist", key, got.Body, err)
	}
}

func wantExists(t *testing.T, b blob.Bucket, key string, when blob.Condition) {
	t.Helper()
	info, err := b.Put(t.Context(), key, []byte("lost"), when)
	if !errors.Is(err, blob.ErrExists) || info.Date.IsZero() {
		t.Errorf("Put(%s) = date %v, error %v, want a date and ErrExists", key, info.Date, err)
	}
}
