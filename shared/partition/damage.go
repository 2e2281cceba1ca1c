package partition

import (
	"fmt"
	"slices"
	"sync"

	"github.com/bobbindb/bobbin/shared/store"
)

// damage is which tables were found damaged, by their keys, first come first. The zero
// value is ready.
type damage struct {
	mu     sync.Mutex
	tables []string
}

// add notes a table. It reports whether that is news.
func (d *damage) add(table string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.tables, table) {
		return false
	}
	d.tables = append(d.tables, table)
	return true
}

// noteDamage notes that a read met a damaged table. It is logged once.
func (p *Partition) noteDamage(table string) {
	if p.damage.add(table) {
		p.Log.Error("table is damaged", "table", table, "partition", p.Number)
	}
}

// Damage is an error that names the first table that a read found damaged since the
// partition was opened, or nil. Reads of other tables go on.
func (p *Partition) Damage() error {
	p.damage.mu.Lock()
	defer p.damage.mu.Unlock()
	switch others := len(p.damage.tables) - 1; others {
	case -1:
		return nil
	case 0:
		return fmt.Errorf("%s: %w", p.damage.tables[0], store.ErrTableDamaged)
	default:
		return fmt.Errorf("%s and %d others: %w", p.damage.tables[0], others, store.ErrTableDamaged)
	}
}
