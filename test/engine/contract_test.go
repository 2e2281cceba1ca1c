package engine_test

import (
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
)

// The whole conversations of the HTTP contract, on the real engine: on an object store
// and on a folder.
func TestContract(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) blob.Bucket{
		"memory": func(*testing.T) blob.Bucket { return memblob.New(time.Now) },
		"folder": func(t *testing.T) blob.Bucket {
			b, err := fileblob.Open(t.TempDir(), fileblob.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			contract.Run(t, "../../shared/httpapi/testdata", func(t *testing.T) *chat.Service {
				bucket := open(t)
				s, err := engine.Create(t.Context(), bucket, 1)
				if err != nil {
					t.Fatal(err)
				}
				e, err := engine.Open(t.Context(), bucket, s)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				})
				return e.Service
			})
		})
	}
}
