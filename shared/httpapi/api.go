package httpapi

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// Options is what an API is made of. Service and Access are required.
type Options struct {
	Service *chat.Service

	// Access says who may call. It is asked for every request, so that a revoked key
	// stops at once, and must be cheap.
	Access func() *Access

	// Ready says whether the store can serve; nil means always. It is asked by every
	// probe, and must be cheap too.
	Ready func(ctx context.Context) error

	Version      string
	Metrics      *telemetry.Metrics // nil counts for nobody
	Tracer       *telemetry.Tracer  // nil traces nothing
	Log          *slog.Logger       // nil logs nothing
	Origins      []string           // allowed by CORS; "*" allows every one
	AllowedAddrs []netip.Prefix     // who may connect; empty allows everyone
	Rate         Rate               // of one user of one API key
	MaxBody      int64              // bytes of a request's body; 0 means 1 MiB

	// CompressFrom is the size in bytes from which a list is compressed for a client
	// that accepts it; 0 means 4 KiB, less than 0 never.
	CompressFrom int

	Admin AdminHooks

	Now          func() time.Time // nil means time.Now
	NewRequestID func() string    // nil means random ones
}

// AdminHooks is what serves /admin beyond importing.
type AdminHooks struct {
	Health func(ctx context.Context) error // of /admin/health; nil means healthy

	// Status is what /admin/status shows, to be encoded as JSON; nil answers 404.
	Status func(ctx context.Context) (any, error)

	Inspector chat.Inspector // of stats, users and keys; nil answers 404
	Jobs      Jobs           // of long work; nil answers 404

	// Other answers every other path under /admin, once the key was found to be an
	// admin's; nil answers 404.
	Other http.Handler
}

// The limits of a request's body, in bytes.
const (
	DefaultMaxBody = 1 << 20
	MaxBatchBody   = 4 << 20 // of a request that carries many messages
)

// API is the http.Handler of a store.
type API struct {
	Options
	mux     *http.ServeMux
	cors    cors
	limiter *limiter             // nil when nothing is limited
	nowhere *telemetry.HTTPRoute // for requests that no route answered
}

// New returns the API.
func New(o Options) *API {
	if o.Metrics == nil {
		o.Metrics = telemetry.New(telemetry.Release{}, o.Now)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.CompressFrom == 0 {
		o.CompressFrom = 4 << 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewRequestID == nil {
		o.NewRequestID = rand.Text
	}
	a := &API{Options: o, cors: newCORS(o.Origins), limiter: newLimiter(o.Rate, maxBuckets), nowhere: o.Metrics.HTTPRoute("none")}
	a.mux = a.newMux()
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := a.begin(w, r)
	defer x.end()
	a.cors.mark(x)
	if r.Method == http.MethodOptions {
		x.WriteHeader(http.StatusNoContent)
		return
	}
	if err := a.admit(x); err != nil {
		x.fail(err)
		return
	}
	if unclean(r.URL.EscapedPath()) {
		x.fail(errNotFound)
		return
	}
	a.mux.ServeHTTP(x, x.r)
}

// admit makes the checks that come before the route.
func (a *API) admit(x *exchange) error {
	room := roomOf(x.r.URL.Path)
	if room == health {
		return nil
	}
	if !a.addressAllowed(x.r.RemoteAddr) {
		return errForbidden
	}
	if room == public {
		return nil
	}
	access := a.Access()
	key, grant, ok := access.lookup(x.r.Header)
	if !ok {
		return errUnauthorized
	}
	x.grant = grant
	return a.throttle(x, key, x.enter(room, access))
}

// addressAllowed reports whether the peer may connect. An address that cannot be read
// is allowed only where everyone is.
func (a *API) addressAllowed(remote string) bool {
	if len(a.AllowedAddrs) == 0 {
		return true
	}
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		withPort, err := netip.ParseAddrPort(remote)
		if err != nil {
			return false
		}
		addr = withPort.Addr()
	}
	for _, prefix := range a.AllowedAddrs {
		if prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// room is a part of the API with its own rule about who may enter.
type room int

const (
	elsewhere room = iota // no key opens it
	health
	public
	frontend
	backend
	admin
)

// roomOf says which room a path lies in.
func roomOf(path string) room {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "frontend":
		return frontend
	case "backend":
		return backend
	case "admin":
		return admin
	}
	switch path {
	case "/healthz", "/readyz":
		return health
	case "/openapi.yaml":
		return public
	case "/metrics":
		return admin
	}
	return elsewhere
}

// unclean reports whether ServeMux would answer the path with a redirect.
func unclean(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
		return true
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
