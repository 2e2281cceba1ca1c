package partition

import (
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/store"
)

// Held is the open database, kept open while a checkpoint is taken from it.
type Held struct {
	DB   *store.DB
	FS   *checkpoint.FS
	Dir  string
	Base *checkpoint.Object // that it extends, nil for the empty store
	Key  string             // of Base, "" for the empty store

	db *opened
}

// Release lets go of the database.
func (h *Held) Release() { h.db.release() }

// Hold keeps the open database open.
func (p *Partition) Hold() (*Held, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	o := p.db
	o.refs.Add(1)
	return &Held{DB: o.DB, FS: o.fs, Dir: o.dir, Base: o.base, Key: o.key, db: o}, nil
}

// Extended notes that a checkpoint taken from the held database is the newest: the
// database extends it from now on, and the tail begins behind it.
func (p *Partition) Extended(h *Held, object *checkpoint.Object, m *checkpoint.Manifest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.db.base, h.db.key = object, m.Checkpoint
	p.adopt(m)
}
