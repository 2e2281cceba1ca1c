package engine_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
	"github.com/bobbindb/bobbin/test/openapi"
)

// What an operator reads, on the real engine: in two partitions, so that lists go over
// their border.
func TestAdmin(t *testing.T) {
	httpscript.Run(t, "../../shared/httpapi/testdata/admin/*.http", func(t *testing.T) http.Handler {
		bucket := memblob.New(time.Now)
		s, err := engine.Create(t.Context(), bucket, 2)
		if err != nil {
			t.Fatal(err)
		}
		s.Salt = saltThatParts(s, "u1", "u2", "u3")
		e := engine.Start(t, bucket, s)
		o := contract.Options(e.Service)
		access := contract.Access()
		access.Grants[httpapi.HashKey("tenant-admin")] = httpapi.Grant{Role: httpapi.Admin, Tenant: "acme"}
		o.Access = func() *httpapi.Access { return access }
		o.Admin.Inspector = e.Service.Reader.(chat.Inspector)
		o.Admin.Jobs = jobs(t, e)
		o.Now = func() time.Time { return time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) }
		return openapi.Checked(t, httpapi.New(o))
	}, contract.Vars())
}

// finished starts jobs and waits until they are over, so that a script finds them so.
type finished struct{ *job.Runner }

// Start answers as the runner does, and later.
func (f finished) Start(ctx context.Context, kind job.Kind, request json.RawMessage, requestID string) (*job.Record, error) {
	started, err := f.Runner.Start(ctx, kind, request, requestID)
	if err != nil {
		return nil, err
	}
	for {
		if now, err := f.Get(ctx, started.ID); err != nil || now.Over() {
			return started, err
		}
	}
}

// jobs purges the engine's store, which keeps nothing that is deleted.
func jobs(t *testing.T, e *engine.Engine) httpapi.Jobs {
	runner := e.Jobs()
	t.Cleanup(runner.Close)
	return finished{runner}
}

// saltThatParts is a salt by which some users do not all live in the same partition.
func saltThatParts(s *catalog.Store, users ...string) []byte {
	for n := byte(0); ; n++ {
		salt := []byte{n}
		found := map[int]bool{}
		for _, u := range users {
			found[s.PartitionOf(chat.NewHasher(salt).Owner(chat.Owner{User: u}).Slot())] = true
		}
		if len(found) == s.Partitions() {
			return salt
		}
	}
}
