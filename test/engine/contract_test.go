package engine_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/gateway"
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
			contract.Run(t, scripts, func(t *testing.T) *chat.Service { return engine.New(t, open(t), 1).Service })
		})
	}
}

// The same behind an API Gateway, answered by a function.
func TestContractBehindAGateway(t *testing.T) {
	contract.RunBehind(t, scripts, func(t *testing.T) *chat.Service {
		return engine.New(t, memblob.New(time.Now), 1).Service
	}, func(api http.Handler) http.Handler { return gateway.Handler(httpapi.Lambda(api)) })
}

const scripts = "../../shared/httpapi/testdata"
