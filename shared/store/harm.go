package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/commitlog"
)

// ErrTableDamaged: the bytes of a table are not those that were written.
var ErrTableDamaged = fmt.Errorf("table is %w", commitlog.ErrDamaged)

// harm turns what Pebble says about a table that it cannot read into an error that
// names the table as an operator finds it. The zero value is ready.
type harm struct{ table atomic.Pointer[string] }

// seen notes the table that was found damaged last.
func (h *harm) seen(table string) { h.table.Store(&table) }

// explain returns the error of a read. Pebble reports a damaged table, by its listener,
// before the read fails.
func (h *harm) explain(err error) error {
	if err == nil {
		return nil
	}
	var named interface {
		error
		Table() string
	}
	if errors.As(err, &named) { // by the file system, below Pebble's own words
		return named
	}
	if !pebble.IsCorruptionError(err) {
		return err
	}
	if table := h.table.Load(); table != nil {
		return fmt.Errorf("%s: %w", *table, ErrTableDamaged)
	}
	return fmt.Errorf("%w: %w", ErrTableDamaged, err)
}
