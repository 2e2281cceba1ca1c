// Package plaintext looks for texts where none should be: in every byte of files and
// objects, and in what they hold compressed.
package plaintext

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/klauspost/compress/zstd"

	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Scanner looks for texts and counts what it looked through.
type Scanner struct {
	texts   [][]byte
	decoder *zstd.Decoder

	Bytes    int // as they lie there
	Tables   int
	Records  int // in tables
	Segments int
	Frames   int // of zstd, wherever they begin
}

// NewScanner returns a Scanner for some texts.
func NewScanner(texts ...string) (*Scanner, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return nil, err
	}
	s := &Scanner{decoder: decoder}
	for _, text := range texts {
		s.texts = append(s.texts, []byte(text))
	}
	return s, nil
}

// Scan returns where in an object the texts are.
func (s *Scanner) Scan(name string, body []byte) (found []string) {
	s.Bytes += len(body)
	found = s.look(name, body)
	if commits, err := commitlog.DecodeSegment(body); err == nil {
		s.Segments++
		for _, c := range commits {
			for _, op := range c.Ops {
				found = append(found, s.look(fmt.Sprintf("%s, commit %s", name, c.Seq), op.Key, op.Value)...)
			}
		}
	}
	found = append(found, s.table(name, body)...)
	return append(found, s.frames(name, body)...)
}

// Folder scans every file below a folder.
func (s *Scanner) Folder(dir string) (found []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		found = append(found, s.Scan(name, body)...)
		return err
	})
	return found, err
}

func (s *Scanner) look(where string, bodies ...[]byte) (found []string) {
	for _, body := range bodies {
		for _, text := range s.texts {
			if at := bytes.Index(body, text); at >= 0 {
				found = append(found, fmt.Sprintf("%s: %q at %d", where, text, at))
			}
		}
	}
	return found
}

// table looks through the records of a Pebble table, which is what most bodies are not.
func (s *Scanner) table(name string, body []byte) (found []string) {
	schema := colblk.DefaultKeySchema(pebble.DefaultComparer, 16)
	r, err := sstable.NewMemReader(body, sstable.ReaderOptions{KeySchemas: sstable.MakeKeySchemas(&schema)})
	if err != nil {
		return nil
	}
	defer r.Close()
	s.Tables++
	iter, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return []string{fmt.Sprintf("%s: its records cannot be read: %v", name, err)}
	}
	defer iter.Close()
	for kv := iter.First(); kv != nil; kv = iter.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return append(found, fmt.Sprintf("%s: a record cannot be read: %v", name, err))
		}
		s.Records++
		found = append(found, s.look(name+", a record", kv.K.UserKey, value)...)
	}
	return found
}

// frames looks into whatever looks like the beginning of a zstd frame.
func (s *Scanner) frames(name string, body []byte) (found []string) {
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for at := 0; ; at++ {
		next := bytes.Index(body[at:], magic)
		if next < 0 {
			return found
		}
		at += next
		// What follows the frame is an error after it was given out.
		if text, _ := s.decoder.DecodeAll(body[at:], nil); len(text) > 0 {
			s.Frames++
			found = append(found, s.look(fmt.Sprintf("%s, a frame at %d", name, at), text)...)
		}
	}
}
