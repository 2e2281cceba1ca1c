// Package sealtest is for tests of and on Keepers: their contract as tests (Run), with
// a Keeper that counts its calls and fails on cue.
package sealtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/bobbindb/bobbin/shared/seal"
)

// here is what the contract wraps for.
var here = seal.Context{Store: "abcdefghijklmnopqrstuvwxyz", Purpose: "kek/00000001"}

// Run tests that a Keeper keeps the contract of seal.Keeper. Each call of open makes one
// with a top key of its own.
func Run(t *testing.T, open func(t *testing.T) seal.Keeper) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, k seal.Keeper)
	}{
		{"what was wrapped is unwrapped", testRoundTrip},
		{"sizes that are not wrapped", testSizes},
		{"a wrapped key does not show the key", testHidden},
		{"another context is damage", testContext},
		{"any changed bit is refused", testChanged},
		{"any other length is refused", testLengths},
		{"arguments are left alone", testAliasing},
		{"a cancelled context", testCancelled},
		{"many at once", testConcurrent},
		{"its name is not empty", testName},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
	t.Run("another key refuses", func(t *testing.T) { testOther(t, open(t), open(t)) })
	t.Run("several as one", func(t *testing.T) { testSeveral(t, open(t), open(t), open(t)) })
}

func wrap(t *testing.T, k seal.Keeper, key []byte) []byte {
	t.Helper()
	wrapped, err := k.Wrap(t.Context(), here, key)
	if err != nil {
		t.Fatalf("Wrap() = %v", err)
	}
	return wrapped
}

// refused checks that an unwrap gave nothing and one of these errors.
func refused(t *testing.T, what string, key []byte, err error, want ...error) {
	t.Helper()
	if key != nil {
		t.Errorf("Unwrap() of %s gave %d bytes", what, len(key))
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("Unwrap() of %s = %v, want one of %v", what, err, want)
}

func testRoundTrip(t *testing.T, k seal.Keeper) {
	for _, size := range []int{1, 16, seal.KeySize, seal.UserKeySize, seal.MaxWrap} {
		key := seal.RandomBytes(size)
		one, two := wrap(t, k, key), wrap(t, k, key)
		if bytes.Equal(one, two) {
			t.Errorf("Wrap() of %d bytes gave the same bytes twice", size)
		}
		for _, wrapped := range [][]byte{one, two} {
			got, err := k.Unwrap(t.Context(), here, wrapped)
			if err != nil || !bytes.Equal(got, key) {
				t.Errorf("Unwrap() of %d bytes = %d bytes, %v", size, len(got), err)
			}
		}
	}
}

func testSizes(t *testing.T, k seal.Keeper) {
	for _, size := range []int{0, seal.MaxWrap + 1} {
		wrapped, err := k.Wrap(t.Context(), here, make([]byte, size))
		if err == nil || wrapped != nil {
			t.Errorf("Wrap() of %d bytes = %d bytes, %v, want an error", size, len(wrapped), err)
		}
	}
}

func testHidden(t *testing.T, k seal.Keeper) {
	key := bytes.Repeat([]byte("key!"), 8)
	if wrapped := wrap(t, k, key); bytes.Contains(wrapped, key[:8]) {
		t.Errorf("Wrap() = %q, which holds the key", wrapped)
	}
}

func testContext(t *testing.T, k seal.Keeper) {
	wrapped := wrap(t, k, seal.RandomBytes(seal.KeySize))
	for _, c := range []seal.Context{
		{Store: here.Store, Purpose: "kek/00000002"},
		{Store: "bcdefghijklmnopqrstuvwxyza", Purpose: here.Purpose},
		{Store: here.Purpose, Purpose: here.Store},
		{Store: here.Store + here.Purpose},
		{},
	} {
		key, err := k.Unwrap(t.Context(), c, wrapped)
		refused(t, fmt.Sprint(c), key, err, seal.ErrDamaged)
	}
}

func testChanged(t *testing.T, k seal.Keeper) {
	wrapped := wrap(t, k, seal.RandomBytes(seal.KeySize))
	for i := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 1 << (i % 8)
		key, err := k.Unwrap(t.Context(), here, changed)
		refused(t, fmt.Sprintf("byte %d changed", i), key, err, seal.ErrDamaged, seal.ErrWrongKey)
	}
}

func testLengths(t *testing.T, k seal.Keeper) {
	wrapped := wrap(t, k, seal.RandomBytes(seal.KeySize))
	for n := range wrapped {
		key, err := k.Unwrap(t.Context(), here, wrapped[:n])
		refused(t, fmt.Sprintf("%d bytes", n), key, err, seal.ErrDamaged, seal.ErrWrongKey)
	}
	key, err := k.Unwrap(t.Context(), here, append(bytes.Clone(wrapped), 0))
	refused(t, "a byte more", key, err, seal.ErrDamaged, seal.ErrWrongKey)
}

func testAliasing(t *testing.T, k seal.Keeper) {
	key := seal.RandomBytes(seal.KeySize)
	before := bytes.Clone(key)
	wrapped := wrap(t, k, key)
	if !bytes.Equal(key, before) {
		t.Error("Wrap() changed its key")
	}
	clear(key) // A caller wipes what it no longer needs.
	kept := bytes.Clone(wrapped)
	got, err := k.Unwrap(t.Context(), here, wrapped)
	if err != nil || !bytes.Equal(got, before) || !bytes.Equal(wrapped, kept) {
		t.Fatalf("Unwrap() = %x, %v, want %x and its argument left alone", got, err, before)
	}
	clear(got)
	if got, err := k.Unwrap(t.Context(), here, wrapped); err != nil || !bytes.Equal(got, before) {
		t.Errorf("Unwrap() = %x, %v after the first answer was wiped, want %x", got, err, before)
	}
}

func testCancelled(t *testing.T, k seal.Keeper) {
	wrapped := wrap(t, k, seal.RandomBytes(seal.KeySize))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := k.Wrap(ctx, here, []byte("key")); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("Wrap() = %x, %v, want %v", got, err, context.Canceled)
	}
	if got, err := k.Unwrap(ctx, here, wrapped); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("Unwrap() = %x, %v, want %v", got, err, context.Canceled)
	}
}

func testConcurrent(t *testing.T, k seal.Keeper) {
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			key := seal.RandomBytes(seal.KeySize)
			wrapped, err := k.Wrap(t.Context(), here, key)
			if err != nil {
				t.Errorf("Wrap() = %v", err)
				return
			}
			if got, err := k.Unwrap(t.Context(), here, wrapped); err != nil || !bytes.Equal(got, key) {
				t.Errorf("Unwrap() = %x, %v, want %x", got, err, key)
			}
		})
	}
	group.Wait()
}

func testName(t *testing.T, k seal.Keeper) {
	if k.Name() == "" {
		t.Error("Name() is empty")
	}
}

func testOther(t *testing.T, k, other seal.Keeper) {
	key, err := other.Unwrap(t.Context(), here, wrap(t, k, seal.RandomBytes(seal.KeySize)))
	refused(t, "another key", key, err, seal.ErrWrongKey)
}

func testSeveral(t *testing.T, first, second, stranger seal.Keeper) {
	both := seal.Keepers{first, second}
	key := seal.RandomBytes(seal.KeySize)
	for _, k := range []seal.Keeper{first, second, both} {
		if got, err := both.Unwrap(t.Context(), here, wrap(t, k, key)); err != nil || !bytes.Equal(got, key) {
			t.Errorf("Unwrap() = %x, %v, want %x", got, err, key)
		}
	}
	if got, err := first.Unwrap(t.Context(), here, wrap(t, both, key)); err != nil || !bytes.Equal(got, key) {
		t.Errorf("Unwrap() = %x, %v: want the first to have wrapped", got, err)
	}
	got, err := both.Unwrap(t.Context(), here, wrap(t, stranger, key))
	refused(t, "a stranger's", got, err, seal.ErrWrongKey)
	got, err = both.Unwrap(t.Context(), seal.Context{Store: "elsewhere"}, wrap(t, second, key))
	refused(t, "another context", got, err, seal.ErrDamaged)
}
