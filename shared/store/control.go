package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"
)

// Names of the control records: commits that change the rules from there on.
const (
	ControlFormat = "format" // a newer format may be written
	ControlFreeze = "freeze" // no writes until the thaw
	ControlThaw   = "thaw"
	ControlSeal   = "seal" // no commits any more on this branch
	ControlKEK    = "kek"  // which KEK versions wrap new user keys
)

// Freeze is a maintenance window.
type Freeze struct {
	Until int64 // past this bound anybody may commit the thaw
}

// Seal ends a branch.
type Seal struct {
	Next string // the branch in which it continues, "" for nowhere
}

// Format says which formats may be written from here on.
type Format struct{ Version uint64 }

// KEK says which KEK version wraps new user keys, and which take none any more. A store
// without the record stands at version 1.
type KEK struct {
	Current uint32
	Closed  []uint32
}

// EncodeKEK is the value of a kek record.
func EncodeKEK(k KEK) []byte {
	w := newWriter(16)
	w.uint(1, uint64(k.Current))
	for _, v := range k.Closed {
		w.uint(2, uint64(v))
	}
	return w.b
}

// DecodeKEK reads what EncodeKEK wrote.
func DecodeKEK(b []byte) (KEK, error) {
	var k KEK
	err := each(b, func(field protowire.Number, v uint64, _ []byte) bool {
		switch field {
		case 1:
			k.Current = uint32(v)
		case 2:
			k.Closed = append(k.Closed, uint32(v))
		default:
			return false
		}
		return true
	})
	return k, err
}

// EncodeFreeze is the value of a freeze record.
func EncodeFreeze(f Freeze) []byte {
	w := newWriter(16)
	w.uint(1, uint64(f.Until))
	return w.b
}

// DecodeFreeze reads what EncodeFreeze wrote.
func DecodeFreeze(b []byte) (Freeze, error) {
	var f Freeze
	err := each(b, func(field protowire.Number, v uint64, _ []byte) bool {
		f.Until = int64(v)
		return field == 1
	})
	return f, err
}

// EncodeSeal is the value of a seal record.
func EncodeSeal(s Seal) []byte {
	w := newWriter(32)
	w.string(1, s.Next)
	return w.b
}

// DecodeSeal reads what EncodeSeal wrote.
func DecodeSeal(b []byte) (Seal, error) {
	var s Seal
	err := each(b, func(field protowire.Number, _ uint64, data []byte) bool {
		s.Next = string(data)
		return field == 1
	})
	return s, err
}

// EncodeFormat is the value of a format record.
func EncodeFormat(f Format) []byte {
	w := newWriter(16)
	w.uint(1, f.Version)
	return w.b
}

// DecodeFormat reads what EncodeFormat wrote.
func DecodeFormat(b []byte) (Format, error) {
	var f Format
	err := each(b, func(field protowire.Number, v uint64, _ []byte) bool {
		f.Version = v
		return field == 1
	})
	return f, err
}

// FormatVersion is the newest store format that this release reads.
const FormatVersion = 1

// addControl turns a control record into state, or refuses what it does not know.
func addControl(batch *pebble.Batch, name string, value []byte) error {
	switch name {
	case ControlFreeze:
		if _, err := DecodeFreeze(value); err != nil {
			return err
		}
		return batch.Set(KeyControl(name), value, nil)
	case ControlThaw:
		return batch.Delete(KeyControl(ControlFreeze), nil)
	case ControlSeal:
		if _, err := DecodeSeal(value); err != nil {
			return err
		}
		return batch.Set(KeyControl(name), value, nil)
	case ControlKEK:
		if _, err := DecodeKEK(value); err != nil {
			return err
		}
		return batch.Set(KeyControl(name), value, nil)
	case ControlFormat:
		f, err := DecodeFormat(value)
		if err != nil {
			return err
		}
		if f.Version > FormatVersion {
			return fmt.Errorf("format %d, this release reads up to %d: %w", f.Version, FormatVersion, ErrUnknownRecord)
		}
		return batch.Set(KeyControl(name), value, nil)
	}
	return fmt.Errorf("control record %q: %w", name, ErrUnknownRecord)
}
