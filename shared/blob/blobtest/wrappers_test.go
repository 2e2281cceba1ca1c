package blobtest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
)

// A wrapper that does nothing keeps the contract of what is in it.
func TestWrappersKeepTheContract(t *testing.T) {
	for name, wrap := range map[string]func(blob.Bucket) blob.Bucket{
		"Recorder": func(b blob.Bucket) blob.Bucket { return blobtest.NewRecorder(b) },
		"Latency":  func(b blob.Bucket) blob.Bucket { return blobtest.NewLatency(b, blobtest.LatencyOptions{}) },
		"Faults":   func(b blob.Bucket) blob.Bucket { return blobtest.NewFaults(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Bucket { return wrap(memblob.New(time.Now)) })
			if _, ok := wrap(folder(t)).(blob.Folder); ok {
				t.Error("it is a blob.Folder around a folder, want a blob.Bucket only")
			}
		})
	}
	for name, wrap := range map[string]func(blob.Folder) blob.Folder{
		"FolderRecorder": func(b blob.Folder) blob.Folder { return blobtest.NewFolderRecorder(b) },
		"FolderFaults":   func(b blob.Folder) blob.Folder { return blobtest.NewFolderFaults(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			blobtest.RunFolder(t, func(t *testing.T) blob.Folder { return wrap(folder(t)) })
		})
	}
}

func TestRecorder(t *testing.T) {
	ctx := t.Context()
	r := blobtest.NewFolderRecorder(folder(t))
	path := file(t, "12345")
	put, _ := r.Put(ctx, "k", []byte("text"), blob.IfAbsent())
	_, _ = r.Put(ctx, "k", []byte("lost"), blob.IfAbsent())
	_, _ = r.Put(ctx, "k", []byte("again"), blob.IfMatch(put.ETag))
	_, _ = r.PutFile(ctx, "dir/file", path)
	_, _ = r.Get(ctx, "k")
	_, _ = r.Get(ctx, "absent")
	_, _ = r.GetRange(ctx, "k", 1, 2)
	_, _ = r.List(ctx, blob.ListOptions{Prefix: "dir/"})
	_ = r.Unchanged("k", put.ETag)
	if f, err := r.OpenFile("k"); err == nil {
		f.Close()
	}
	_ = r.LinkFile("k", filepath.Join(t.TempDir(), "k"))
	_ = r.Delete(ctx, "k")
	want := []blobtest.Call{
		{N: 1, Op: blobtest.Put, Key: "k", When: blob.IfAbsent(), Bytes: 4},
		{N: 2, Op: blobtest.Put, Key: "k", When: blob.IfAbsent(), Bytes: 4, Err: blob.ErrExists},
		{N: 3, Op: blobtest.Put, Key: "k", When: blob.IfMatch(put.ETag), Bytes: 5},
		{N: 4, Op: blobtest.PutFile, Key: "dir/file", When: blob.IfAbsent(), Bytes: 5},
		{N: 5, Op: blobtest.Get, Key: "k", Bytes: 5},
		{N: 6, Op: blobtest.Get, Key: "absent", Err: blob.ErrNotExist},
		{N: 7, Op: blobtest.GetRange, Key: "k", Bytes: 2},
		{N: 8, Op: blobtest.List, Key: "dir/"},
		{N: 9, Op: blobtest.Unchanged, Key: "k"},
		{N: 10, Op: blobtest.OpenFile, Key: "k"},
		{N: 11, Op: blobtest.LinkFile, Key: "k"},
		{N: 12, Op: blobtest.Delete, Key: "k"},
	}
	got := r.Calls()
	for i := range want {
		if i < len(got) && errors.Is(got[i].Err, want[i].Err) {
			got[i].Err = want[i].Err // It is wrapped.
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Calls() = %+v, want %+v", got, want)
	}
	if n := r.Count(blobtest.Get, blobtest.GetRange); n != 3 || r.Count() != len(want) {
		t.Errorf("Count() = %d reads of %d, want 3 of %d", n, r.Count(), len(want))
	}
	if keys := r.Stored(); !slices.Equal(keys, []string{"k", "k", "dir/file"}) {
		t.Errorf("Stored() = %q, want k twice and dir/file", keys)
	}
	r.Reset()
	if n := r.Count(); n != 0 {
		t.Errorf("Count() = %d after Reset(), want 0", n)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memblob.New(time.Now)
		b := blobtest.NewLatency(inner, blobtest.LatencyOptions{
			Get: 10 * time.Millisecond, Put: 20 * time.Millisecond, List: 30 * time.Millisecond,
			Delete: 40 * time.Millisecond, BytesPerSecond: 1000,
		})
		body := make([]byte, 500)
		for _, tt := range []struct {
			name string
			call func(context.Context) error
			want time.Duration
		}{
			{"Put", func(ctx context.Context) error { _, err := b.Put(ctx, "k", body, blob.IfAbsent()); return err }, 520 * time.Millisecond},
			{"Get", func(ctx context.Context) error { _, err := b.Get(ctx, "k"); return err }, 510 * time.Millisecond},
			{"GetRange", func(ctx context.Context) error { _, err := b.GetRange(ctx, "k", 0, 100); return err }, 110 * time.Millisecond},
			{"List", func(ctx context.Context) error { _, err := b.List(ctx, blob.ListOptions{}); return err }, 30 * time.Millisecond},
			{"Delete", func(ctx context.Context) error { return b.Delete(ctx, "k") }, 40 * time.Millisecond},
		} {
			begin := time.Now()
			if err := tt.call(t.Context()); err != nil {
				t.Errorf("%s = %v", tt.name, err)
			}
			if got := time.Since(begin); got != tt.want {
				t.Errorf("%s took %v, want %v", tt.name, got, tt.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.want-time.Millisecond)
			if err := tt.call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s that ends on its way = %v, want context.DeadlineExceeded", tt.name, err)
			}
			cancel()
		}
		// The answer of a Put is lost on its way back; the Put is not.
		ctx, cancel := context.WithTimeout(t.Context(), 511*time.Millisecond)
		defer cancel()
		if _, err := b.Put(ctx, "late", body, blob.IfAbsent()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put() = %v, want context.DeadlineExceeded", err)
		}
		if got, err := inner.Get(t.Context(), "late"); err != nil || len(got.Body) != len(body) {
			t.Errorf("Get() afterwards = %d bytes, %v, want %d", len(got.Body), err, len(body))
		}
	})
}

func TestFaultsOnPut(t *testing.T) {
	for _, tt := range []struct {
		fault  blobtest.Fault
		want   error
		stored bool
	}{
		{blobtest.None, nil, true},
		{blobtest.NotStored, blob.ErrUnavailable, false},
		{blobtest.LostReply, blob.ErrUnavailable, true},
		{blobtest.Delayed, blob.ErrUnavailable, false},
		{blobtest.Conflict409, blob.ErrUnavailable, false},
		{blobtest.Unavailable503, blob.ErrUnavailable, false},
		{blobtest.PartialRead, blob.ErrUnavailable, false},
		{blobtest.Denied, blob.ErrDenied, false},
		{blobtest.Full, blob.ErrNotStored, false},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			inner := folder(t)
			b := blobtest.NewFolderFaults(inner, func(call blobtest.Call) blobtest.Fault {
				if call.Op == blobtest.Put && call.Bytes == 4 && call.When.Absent() || call.Op == blobtest.PutFile {
					return tt.fault
				}
				t.Errorf("decide(%+v), want a Put of 4 bytes or a PutFile", call)
				return blobtest.None
			})
			path := file(t, "text")
			_, putErr := b.Put(t.Context(), "put", []byte("text"), blob.IfAbsent())
			_, fileErr := b.PutFile(t.Context(), "put-file", path)
			for key, err := range map[string]error{"put": putErr, "put-file": fileErr} {
				if !errors.Is(err, tt.want) {
					t.Errorf("%s = %v, want %v", key, err, tt.want)
				}
				if got := stored(t, inner, key); got != tt.stored {
					t.Errorf("%s: stored is %v, want %v", key, got, tt.stored)
				}
			}
		})
	}
}

func TestFaultsOnReads(t *testing.T) {
	inner := folder(t)
	for _, key := range []string{"dir/a", "dir/b"} {
		if _, err := inner.Put(t.Context(), key, []byte("text"), blob.IfAbsent()); err != nil {
			t.Fatalf("Put() = %v", err)
		}
	}
	var fault blobtest.Fault
	b := blobtest.NewFolderFaults(inner, func(blobtest.Call) blobtest.Fault { return fault })
	for fault = blobtest.NotStored; fault <= blobtest.Full; fault++ {
		want := blob.ErrUnavailable
		if fault == blobtest.Denied {
			want = blob.ErrDenied
		}
		got, getErr := b.Get(t.Context(), "dir/a")
		part, rangeErr := b.GetRange(t.Context(), "dir/a", 0, 2)
		page, listErr := b.List(t.Context(), blob.ListOptions{})
		_, openErr := b.OpenFile("dir/a")
		linkErr := b.LinkFile("dir/a", filepath.Join(t.TempDir(), "a"))
		for op, err := range map[blobtest.Op]error{blobtest.Get: getErr, blobtest.GetRange: rangeErr,
			blobtest.List: listErr, blobtest.OpenFile: openErr, blobtest.LinkFile: linkErr} {
			if !errors.Is(err, want) {
				t.Errorf("%s with fault %s = %v, want %v", op, fault, err, want)
			}
		}
		if b.Unchanged("dir/a", got.ETag) {
			t.Errorf("Unchanged() with fault %s = true, want false", fault)
		}
		wantBody, wantPart, wantEntries := "", "", 0
		if fault == blobtest.PartialRead {
			wantBody, wantPart, wantEntries = "te", "t", 1
		}
		if string(got.Body) != wantBody || string(part.Body) != wantPart || len(page.Entries) != wantEntries {
			t.Errorf("with fault %s came %q, %q and %d entries, want %q, %q and %d", fault,
				got.Body, part.Body, len(page.Entries), wantBody, wantPart, wantEntries)
		}
	}
}

func TestFaultsOnDelete(t *testing.T) {
	for fault, gone := range map[blobtest.Fault]bool{blobtest.NotStored: false, blobtest.LostReply: true, blobtest.Delayed: false} {
		inner := memblob.New(time.Now)
		if _, err := inner.Put(t.Context(), "k", nil, blob.IfAbsent()); err != nil {
			t.Fatalf("Put() = %v", err)
		}
		b := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault { return fault })
		if err := b.Delete(t.Context(), "k"); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Delete() with fault %s = %v, want ErrUnavailable", fault, err)
		}
		if got := !stored(t, inner, "k"); got != gone {
			t.Errorf("Delete() with fault %s: gone is %v, want %v", fault, got, gone)
		}
	}
}

func TestRelease(t *testing.T) {
	inner := memblob.New(time.Now)
	b := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault { return blobtest.Delayed })
	ctx, cancel := context.WithCancel(t.Context())
	body := []byte("one")
	for _, key := range []string{"k", "k", "other", "k"} {
		_, _ = b.Put(ctx, key, body, blob.IfAbsent())
		copy(body, "two")
	}
	cancel() // The caller has long given up.
	b.Decide(nil)
	wantNumbers(t, "Delayed()", b.Delayed(), 1, 2, 3, 4)
	done := b.Release(1, 0)
	wantNumbers(t, "Release(1, 0)", done, 2, 1)
	if done[0].Err != nil || !errors.Is(done[1].Err, blob.ErrExists) {
		t.Errorf("Release(1, 0) = %v and %v, want nil and ErrExists", done[0].Err, done[1].Err)
	}
	if got, err := b.Get(t.Context(), "k"); err != nil || string(got.Body) != "two" {
		t.Errorf("Get() = %q, %v, want the one released first", got.Body, err)
	}
	wantNumbers(t, "Delayed()", b.Delayed(), 3, 4)
	wantNumbers(t, "Release()", b.Release(), 3, 4)
	wantNumbers(t, "Delayed()", b.Delayed())
	if !stored(t, inner, "other") {
		t.Error("what was released is not stored")
	}
}

func TestReleaseOfReadsAndFiles(t *testing.T) {
	b := blobtest.NewFolderFaults(folder(t), func(blobtest.Call) blobtest.Fault { return blobtest.Delayed })
	_, _ = b.PutFile(t.Context(), "k", file(t, "text"))
	_, _ = b.Get(t.Context(), "k")
	_ = b.Delete(t.Context(), "k")
	for _, call := range b.Release() {
		if want := map[blobtest.Op]int64{blobtest.PutFile: 4, blobtest.Get: 4}[call.Op]; call.Err != nil || call.Bytes != want {
			t.Errorf("Release() did %+v, want %d bytes and no error", call, want)
		}
	}
}

// decide may hold a call back while others pass, and act as another process.
func TestDecideMayBlock(t *testing.T) {
	inner := memblob.New(time.Now)
	held, letGo := make(chan struct{}), make(chan struct{})
	b := blobtest.NewFaults(inner, func(call blobtest.Call) blobtest.Fault {
		if call.Key == "held" {
			close(held)
			<-letGo
			_, _ = inner.Put(context.Background(), "held", []byte("another"), blob.IfAbsent())
		}
		return blobtest.None
	})
	var holding sync.WaitGroup
	holding.Go(func() {
		if _, err := b.Put(t.Context(), "held", nil, blob.IfAbsent()); !errors.Is(err, blob.ErrExists) {
			t.Errorf("Put() = %v, want ErrExists", err)
		}
	})
	<-held
	if _, err := b.Put(t.Context(), "passing", nil, blob.IfAbsent()); err != nil {
		t.Errorf("Put() while another is held = %v", err)
	}
	close(letGo)
	holding.Wait()
}

func TestFaultNames(t *testing.T) {
	seen := map[string]bool{}
	for fault := blobtest.None; fault <= blobtest.Full; fault++ {
		if name := fault.String(); name == "" || seen[name] {
			t.Errorf("Fault(%d).String() = %q, want a name of its own", int(fault), name)
		}
		seen[fault.String()] = true
	}
	if !strings.Contains(blobtest.Conflict409.String(), "ConditionalRequestConflict") {
		t.Errorf("Conflict409.String() = %q, want S3's name for it", blobtest.Conflict409)
	}
}

func wantNumbers(t *testing.T, what string, calls []blobtest.Call, want ...int) {
	t.Helper()
	var got []int
	for _, call := range calls {
		got = append(got, call.N)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s = calls %v, want %v", what, got, want)
	}
}

func stored(t *testing.T, b blob.Bucket, key string) bool {
	t.Helper()
	_, err := b.Get(t.Context(), key)
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		t.Fatalf("Get(%s) = %v", key, err)
	}
	return err == nil
}

func folder(t *testing.T) *fileblob.Bucket {
	t.Helper()
	b, err := fileblob.Open(t.TempDir(), fileblob.Options{})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func file(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
