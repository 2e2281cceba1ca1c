package memblob_test

import (
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
)

func TestContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Bucket { return memblob.New(time.Now) })
}

func TestDate(t *testing.T) {
	date := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	b := memblob.New(func() time.Time { return date })
	put, err := b.Put(t.Context(), "k", nil, blob.IfAbsent())
	if err != nil || !put.Date.Equal(date) {
		t.Errorf("Put() = date %v, error %v, want %v", put.Date, err, date)
	}
	if got, _ := b.Get(t.Context(), "absent"); !got.Date.Equal(date) {
		t.Errorf("Get() of nothing = date %v, want %v", got.Date, date)
	}
}
