package blob_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
)

func TestPages(t *testing.T) {
	bucket := memblob.New(time.Now)
	var want []string
	for i := range 7 {
		key := fmt.Sprintf("a/%d", i)
		if _, err := bucket.Put(t.Context(), key, nil, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
	recorder := blobtest.NewRecorder(bucket)
	opts := blob.ListOptions{Prefix: "a/", After: "a/0", Limit: 2}
	var got []string
	for page, err := range blob.Pages(t.Context(), recorder, opts) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			got = append(got, e.Key)
		}
	}
	if !slices.Equal(got, want[1:]) || recorder.Count(blobtest.List) != 3 {
		t.Errorf("Pages() lists %v in %d calls, want %v in 3", got, recorder.Count(blobtest.List), want[1:])
	}

	recorder.Reset()
	for range blob.Pages(t.Context(), recorder, opts) {
		break
	}
	if n := recorder.Count(blobtest.List); n != 1 {
		t.Errorf("Pages() made %d calls for one page, want 1", n)
	}
}

func TestPagesEndWithAnError(t *testing.T) {
	lists := 0
	bucket := blobtest.NewFaults(memblob.New(time.Now), func(blobtest.Call) blobtest.Fault { return blobtest.NotStored })
	for _, err := range blob.Pages(t.Context(), bucket, blob.ListOptions{}) {
		if lists++; !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Pages() = %v, want ErrUnavailable", err)
		}
	}
	if lists != 1 {
		t.Errorf("Pages() yields %d times, want once", lists)
	}
}
