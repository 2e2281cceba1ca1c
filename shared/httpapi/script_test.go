package httpapi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/test/httpscript"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
	"github.com/bobbindb/bobbin/test/openapi"
)

// newService returns a service on an empty store in memory.
func newService() (*chat.Service, *memory) {
	m := newMemory(contract.Now)
	var commands atomic.Uint32
	return &chat.Service{
		Reader: m,
		Writer: m,
		Sealer: sealtest.Copier{},
		Hasher: chat.NewHasher([]byte("salt")),
		Now:    contract.Now,
		NewID: func() chat.CommandID {
			var id chat.CommandID
			binary.BigEndian.PutUint32(id[:], commands.Add(1))
			return id
		},
	}, m
}

func newOptions() (httpapi.Options, *memory) {
	service, m := newService()
	return contract.Options(service), m
}

// closed is a Sealer that opens nothing, and seals only where it is told to.
type closed struct {
	sealtest.Copier
	seals bool
	err   func(key string) error
}

func (c *closed) Warm(context.Context, chat.Owner) error {
	if c.seals {
		return nil
	}
	return c.err("")
}

func (c *closed) Open(_ context.Context, name chat.Name, _ []chat.DataKey, _ chat.Sealed) ([]byte, error) {
	return nil, c.err(name.Key())
}

// TestScriptsElsewhere plays what a store answers that is not well, or that is set up
// otherwise. The conversations of the contract are played by test/engine, on the
// engine itself.
func TestScriptsElsewhere(t *testing.T) {
	for name, change := range map[string]func(*httpapi.Options, *memory){
		"busy":       func(_ *httpapi.Options, m *memory) { m.fail = chat.ErrBusy },
		"frozen":     func(_ *httpapi.Options, m *memory) { m.fail = chat.ErrFrozen },
		"unwritable": func(_ *httpapi.Options, m *memory) { m.fail = chat.ErrUnwritable },
		"unknown":    func(_ *httpapi.Options, m *memory) { m.fail = chat.ErrUnknownOutcome.Because(errors.New("secret")) },
		"broken":     func(_ *httpapi.Options, m *memory) { m.fail = errors.New("secret") },
		"forbidden": func(o *httpapi.Options, _ *memory) {
			o.AllowedAddrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		},
		"notready": func(o *httpapi.Options, _ *memory) {
			o.Ready = func(context.Context) error { return errors.New("no bucket") }
			o.Admin.Health = o.Ready
		},
		"keyless": func(o *httpapi.Options, _ *memory) {
			o.Service.Sealer = &closed{err: func(string) error { return chat.ErrKeysUnavailable.Because(errors.New("secret")) }}
		},
		"tampered": func(o *httpapi.Options, _ *memory) {
			o.Service.Sealer = &closed{seals: true, err: func(key string) error { return chat.ErrDamaged(key).Because(errors.New("secret")) }}
		},
		"limited": func(o *httpapi.Options, _ *memory) { o.Rate = httpapi.Rate{PerSecond: 0.5, Burst: 2} },
		"paths":   func(*httpapi.Options, *memory) {},
		"expiring": func(o *httpapi.Options, _ *memory) {
			access := contract.Access()
			access.RequireExpiry = true
			o.Access = func() *httpapi.Access { return access }
		},
	} {
		t.Run(name, func(t *testing.T) {
			httpscript.Run(t, "testdata/"+name+"/*.http", func(t *testing.T) http.Handler {
				o, m := newOptions()
				change(&o, m)
				return openapi.Checked(t, httpapi.New(o))
			}, contract.Vars())
		})
	}
}
