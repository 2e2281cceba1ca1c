// Package contract is what the scripts in shared/httpapi/testdata assume of the API
// that they are played against, whatever store lies behind it.
package contract

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/test/httpscript"
	"github.com/bobbindb/bobbin/test/openapi"
)

// Run plays every script of the contract. scripts is the path of testdata, open makes
// a service on an empty store of one partition whose branch is the active one. Every
// answer is held to the description of the API.
func Run(t *testing.T, scripts string, open func(t *testing.T) *chat.Service) {
	t.Helper()
	RunBehind(t, scripts, open, func(api http.Handler) http.Handler { return api })
}

// RunBehind is Run with something before the API.
func RunBehind(t *testing.T, scripts string, open func(t *testing.T) *chat.Service, front func(http.Handler) http.Handler) {
	t.Helper()
	httpscript.Run(t, scripts+"/*.http", func(t *testing.T) http.Handler {
		return openapi.Checked(t, front(httpapi.New(Options(open(t)))))
	}, Vars())
}

// Now is when the API believes to be called. The store may have a clock of its own.
func Now() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// Options are those that the scripts assume.
func Options(service *chat.Service) httpapi.Options {
	access := Access()
	return httpapi.Options{
		Service:      service,
		Access:       func() *httpapi.Access { return access },
		Version:      "1.2.3",
		Origins:      []string{"https://app.example"},
		AllowedAddrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Now:          Now,
		NewRequestID: func() string { return "made" },
	}
}

// Access is a key of each role, one of another tenant, and two signing keys.
func Access() *httpapi.Access {
	return &httpapi.Access{
		Grants: map[httpapi.KeyHash]httpapi.Grant{
			httpapi.HashKey("front"):  {Role: httpapi.Frontend},
			httpapi.HashKey("back"):   {Role: httpapi.Backend},
			httpapi.HashKey("admin"):  {Role: httpapi.Admin},
			httpapi.HashKey("tenant"): {Role: httpapi.Backend, Tenant: "acme"},
		},
		Signing: [][]byte{[]byte("sign_example"), []byte("sign_older")},
	}
}

// Vars are the variables that the scripts know from their start.
func Vars() map[string]string {
	key := []byte("sign_example")
	return map[string]string{
		"sig_u1":       httpapi.Sign(key, "u1"),
		"sig_u2":       httpapi.Sign(key, "u2"),
		"sig_older":    httpapi.Sign([]byte("sign_older"), "u1"),
		"sig_unknown":  httpapi.Sign([]byte("sign_gone"), "u1"),
		"sig_good":     httpapi.SignUntil(key, "u1", Now().Add(time.Minute)),
		"sig_past":     httpapi.SignUntil(key, "u1", Now()),
		"user_128":     strings.Repeat("u", 128),
		"user_129":     strings.Repeat("u", 129),
		"mib":          strings.Repeat("x", 1<<20),
		"four_mib":     strings.Repeat("x", 4<<20),
		"deep":         strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
		"kib_4":        strings.Repeat("x", 4<<10),
		"kib_16":       strings.Repeat("x", 16<<10),
		"messages_60":  `{"body":1}` + strings.Repeat(`,{"body":1}`, 59),
		"messages_101": `{"body":1}` + strings.Repeat(`,{"body":1}`, 100),
		"future":       "4102444800000000000",
	}
}
