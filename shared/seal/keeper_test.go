package seal_test

import (
	"errors"
	"testing"

	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
)

func TestMemoryKeeper(t *testing.T) {
	sealtest.Run(t, func(*testing.T) seal.Keeper { return sealtest.NewKeeper() })
}

func TestKeepersUnavailable(t *testing.T) {
	mine, other := sealtest.NewKeeper(), sealtest.NewKeeper()
	c := seal.Context{Store: "s", Purpose: "p"}
	wrapped, err := mine.Wrap(t.Context(), c, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	down := func() error { return seal.ErrUnavailable }
	both := seal.Keepers{other, mine}
	other.Fail(down)
	if key, err := both.Unwrap(t.Context(), c, wrapped); err != nil || string(key) != "key" {
		t.Errorf("Unwrap() = %q, %v with the other one down, want the key", key, err)
	}
	other.Fail(nil)
	mine.Fail(down)
	if key, err := both.Unwrap(t.Context(), c, wrapped); !errors.Is(err, seal.ErrUnavailable) || key != nil {
		t.Errorf("Unwrap() = %q, %v with ours down, want %v", key, err, seal.ErrUnavailable)
	}
	if got, want := both.Name(), "memory"; got != want {
		t.Errorf("Name() = %q, want %q", got, want)
	}
}
