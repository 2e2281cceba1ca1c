package blob_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
)

// faultsFirst befalls the first Puts with some faults, in order, and nothing after.
func faultsFirst(faults ...blobtest.Fault) func(blobtest.Call) blobtest.Fault {
	return func(call blobtest.Call) blobtest.Fault {
		if call.Op != blobtest.Put || len(faults) == 0 {
			return blobtest.None
		}
		next := faults[0]
		faults = faults[1:]
		return next
	}
}

func TestSettle(t *testing.T) {
	always := func(fault blobtest.Fault) func(blobtest.Call) blobtest.Fault {
		return func(call blobtest.Call) blobtest.Fault {
			if call.Op == blobtest.Put {
				return fault
			}
			return blobtest.None
		}
	}
	deaf := func(blobtest.Call) blobtest.Fault { return blobtest.LostReply }
	tests := []struct {
		name   string
		before string // what another process stored, "" for nothing
		decide func(blobtest.Call) blobtest.Fault
		want   error
		stored string // afterwards
	}{
		{"stored", "", nil, nil, "ours"},
		{"reply lost", "", faultsFirst(blobtest.LostReply), nil, "ours"},
		{"not stored at first", "", faultsFirst(blobtest.NotStored, blobtest.Unavailable503), nil, "ours"},
		{"409 at first", "", faultsFirst(blobtest.Conflict409), nil, "ours"},
		{"another was first", "theirs", nil, blob.ErrLostSwap, "theirs"},
		{"another was first and the reply is lost", "theirs", faultsFirst(blobtest.LostReply), blob.ErrLostSwap, "theirs"},
		{"denied", "", always(blobtest.Denied), blob.ErrDenied, ""},
		{"full", "", always(blobtest.Full), blob.ErrNotStored, ""},
		{"denied after a reply was lost", "", faultsFirst(blobtest.NotStored, blobtest.Denied), blob.ErrUnknownOutcome, ""},
		{"never stored", "", always(blobtest.NotStored), blob.ErrUnknownOutcome, ""},
		{"no reply to anything", "", deaf, blob.ErrUnknownOutcome, "ours"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memblob.New(time.Now)
				if tt.before != "" {
					if _, err := inner.Put(t.Context(), "k", []byte(tt.before), blob.IfAbsent()); err != nil {
						t.Fatal(err)
					}
				}
				got, err := blob.Settle(t.Context(), blobtest.NewFaults(inner, tt.decide), blob.Write{Key: "k", Body: []byte("ours"), When: blob.IfAbsent()})
				if !errors.Is(err, tt.want) {
					t.Errorf("Settle() = %v, want %v", err, tt.want)
				}
				there, err := inner.Get(t.Context(), "k")
				if string(there.Body) != tt.stored || tt.stored != "" && err != nil {
					t.Errorf("%q is stored (%v), want %q", there.Body, err, tt.stored)
				}
				if (tt.want == nil || errors.Is(tt.want, blob.ErrLostSwap)) && (got.ETag != there.ETag || string(got.Body) != tt.stored) {
					t.Errorf("Settle() = %q with tag %s, want %q with %s", got.Body, got.ETag, tt.stored, there.ETag)
				}
			})
		})
	}
}

// A swap that meets the version it names may be sent again; one that meets another, or
// nothing, is lost.
func TestSettleSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := memblob.New(time.Now)
		first, err := bucket.Put(t.Context(), "k", []byte("first"), blob.IfAbsent())
		if err != nil {
			t.Fatal(err)
		}
		write := blob.Write{Key: "k", Body: []byte("second"), When: blob.IfMatch(first.ETag)}
		got, err := blob.Settle(t.Context(), blobtest.NewFaults(bucket, faultsFirst(blobtest.NotStored)), write)
		if err != nil || string(got.Body) != "second" {
			t.Fatalf("Settle() = %q, %v, want second", got.Body, err)
		}
		write.Body = []byte("third")
		if got, err = blob.Settle(t.Context(), bucket, write); !errors.Is(err, blob.ErrLostSwap) || string(got.Body) != "second" {
			t.Errorf("Settle() on a version that is gone = %q, %v, want second and ErrLostSwap", got.Body, err)
		}
		if err := bucket.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if got, err = blob.Settle(t.Context(), bucket, write); !errors.Is(err, blob.ErrLostSwap) || got.ETag != "" {
			t.Errorf("Settle() on an object that is gone = tag %q, %v, want none and ErrLostSwap", got.ETag, err)
		}
	})
}
