package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"path/filepath"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// Server serves a store over HTTP.
type Server struct {
	URL        string
	MetricsURL string // "" without a listener of its own
	Keys       Keys
	Created    bool // the store was made now

	fresh   bool // the keys were made now
	store   *Store
	servers []*http.Server
	failed  chan error
	drain   time.Duration
}

// Start opens the store, which is made when it is missing or the folder is empty, and
// serves it. Stop ends it. It listens first, so that an address that cannot be had leaves
// no store behind; who calls meanwhile waits.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	warnOfShortKeys(&cfg, log)
	secure, err := secureBy(&cfg, log)
	if err != nil {
		return nil, err
	}
	listeners, err := listen(ctx, cfg.Addr, cfg.MetricsAddr)
	if err != nil {
		return nil, err
	}
	s, err := prepare(ctx, &cfg, log)
	if err != nil {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return nil, err
	}
	s.URL, s.failed = "http://"+dialable(listeners[0].Addr()), make(chan error, len(listeners))
	if secure != nil {
		s.URL = "https" + strings.TrimPrefix(s.URL, "http")
	}
	api := newAPI(&cfg, s.store, log)
	s.serve(listeners[0], secure, api, &cfg, log)
	if len(listeners) > 1 {
		s.MetricsURL = "http://" + dialable(listeners[1].Addr()) + "/metrics"
		s.serve(listeners[1], nil, api.MetricsHandler(), &cfg, log)
	}
	return s, nil
}

// prepare is a server that serves nobody yet. The configuration gets the keys that it
// lacks.
func prepare(ctx context.Context, cfg *Config, log *slog.Logger) (*Server, error) {
	created, err := InitStore(ctx, *cfg)
	if err != nil {
		return nil, err
	}
	keys, fresh, err := loadKeys(cfg, log)
	if err != nil {
		return nil, err
	}
	store, err := openWriter(ctx, *cfg, log, withKeysLater, (*Store).startAll)
	if err != nil {
		return nil, err
	}
	return &Server{Keys: keys, Created: created, fresh: fresh, store: store, drain: cfg.Drain}, nil
}

// listen listens on every address that is not empty.
func listen(ctx context.Context, addrs ...string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, addr := range addrs {
		if addr == "" {
			continue
		}
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// dialable is a listener's address as a client on this machine reaches it.
func dialable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
}

func newAPI(cfg *Config, store *Store, log *slog.Logger) *httpapi.API {
	who := access(cfg)
	return httpapi.New(httpapi.Options{
		Service:      store.Service(),
		Access:       func() *httpapi.Access { return who },
		Ready:        store.Ready,
		Version:      Version,
		Metrics:      store.Metrics,
		Tracer:       store.tracer,
		Log:          log,
		Origins:      cfg.AllowedOrigins,
		AllowedAddrs: cfg.AllowedAddrs,
		Rate:         cfg.Rate,
		MaxBody:      cfg.MaxBody,
		Admin: httpapi.AdminHooks{
			Health:    store.Ready,
			Status:    func(ctx context.Context) (any, error) { return store.Status(ctx) },
			Inspector: store.replica(),
			Jobs:      store.jobs,
			Other:     debugHandler(),
		},
	})
}

// debugHandler answers the profiles under /admin/debug/pprof/, and 404 for what no
// release has yet. The command line, which may hold keys, is not among them.
func debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/admin", http.HandlerFunc(pprof.Index)).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /admin/debug/pprof/{$}", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/admin", http.HandlerFunc(pprof.Index)).ServeHTTP(profileList{w}, r)
	})
	mux.HandleFunc("GET /admin/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /admin/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /admin/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answerError(w, http.StatusNotFound, "not found", "not_found")
	})
	return mux
}

// profileList is the list of profiles, a row each, without the row of the command line.
type profileList struct{ http.ResponseWriter }

// Write writes the list, which comes whole.
func (l profileList) Write(page []byte) (int, error) {
	for row := range bytes.Lines(page) {
		if bytes.Contains(row, []byte("cmdline")) {
			continue
		}
		if _, err := l.ResponseWriter.Write(row); err != nil {
			return 0, err
		}
	}
	return len(page), nil
}

func answerError(w http.ResponseWriter, status int, text, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"code":%q,"request_id":%q}`+"\n", text, code, w.Header().Get("X-Request-Id"))
}

// serve answers what arrives at a listener, in a goroutine that Stop ends. Without a
// TLS configuration it speaks plain HTTP.
func (s *Server) serve(l net.Listener, secure *tls.Config, h http.Handler, cfg *Config, log *slog.Logger) {
	conns := newConnections(l, cfg.maxConns(), fresh)
	server := &http.Server{
		Handler:           h,
		TLSConfig:         secure,
		ReadHeaderTimeout: cfg.HeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ConnState:         conns.note,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s.servers = append(s.servers, server)
	go func() {
		var err error
		if secure == nil {
			err = server.Serve(conns)
		} else {
			err = server.ServeTLS(conns, "", "")
		}
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.failed <- err
	}()
}

// Failed says why the server ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// closeWithin bounds the last checkpoint, without which nothing is lost.
const closeWithin = 10 * time.Second

// Stop takes no more requests, waits for those that are under way within a bound, and
// closes the store with a checkpoint. Cancelling ctx ends the wait. What was found damaged
// meanwhile is an error: other reads went on, and nobody may have seen it yet.
func (s *Server) Stop(ctx context.Context) error {
	var errs []error
	draining, cancel := context.WithTimeout(ctx, s.drain)
	defer cancel()
	for _, server := range s.servers {
		if err := server.Shutdown(draining); err != nil {
			errs = append(errs, fmt.Errorf("requests were still under way after %s: %w", s.drain, err), server.Close())
		}
	}
	closing, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	errs = append(errs, s.store.Close(closing))
	if err := s.store.damage(); err != nil {
		errs = append(errs, fmt.Errorf("found while it served: %w", err))
	}
	return errors.Join(errs...)
}

// ServeOutput says what Serve prints, and where.
type ServeOutput struct {
	Stdout io.Writer
	Stderr io.Writer
	JSON   bool // one object on Stdout says where and with which keys
	Quiet  bool // nothing for a person to read
}

// Serve serves a store until ctx is done.
func Serve(ctx context.Context, cfg Config, out ServeOutput) error {
	log := telemetry.NewLogger(out.Stderr, cfg.LogFormat, cfg.LogLevel)
	s, err := Start(ctx, cfg, log)
	if err != nil {
		return err
	}
	if err := s.announce(cfg, out); err != nil {
		return errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	if !out.Quiet {
		fmt.Fprintln(out.Stderr, "stopping")
	}
	return errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
}

// announce says that the server is there.
func (s *Server) announce(cfg Config, out ServeOutput) error {
	if !out.Quiet {
		if _, err := io.WriteString(out.Stderr, s.welcome(cfg)); err != nil {
			return err
		}
	}
	if !out.JSON {
		return nil
	}
	return json.NewEncoder(out.Stdout).Encode(struct {
		URL        string `json:"url"`
		MetricsURL string `json:"metrics_url,omitempty"`
		Keys
	}{s.URL, s.MetricsURL, s.Keys})
}

// welcome is what a person reads at the start: where the store is, and three requests
// to paste. It shows a key at the start that made it, and never again: what a process
// prints at every start is kept by whoever keeps logs.
func (s *Server) welcome(cfg Config) string {
	var b strings.Builder
	did := "opened"
	if s.Created {
		did = "made"
	}
	fmt.Fprintf(&b, "bobbin %s %s the store in %s\n", Version, did, strings.TrimPrefix(cfg.Bucket, folderScheme))
	fmt.Fprintf(&b, "listening on %s\n", s.URL)
	if s.MetricsURL != "" {
		fmt.Fprintf(&b, "metrics on %s\n", s.MetricsURL)
	}
	fmt.Fprintf(&b, "\nCreate a thread, post to it, read it:\n\n")
	key, path := "$KEY", filepath.Join(cfg.folder(), keysName)
	switch {
	case s.Keys.Backend == "":
		fmt.Fprintf(&b, "  KEY=<a backend key of yours>\n")
	case s.fresh:
		key = s.Keys.Backend
	default:
		fmt.Fprintf(&b, "  KEY=$(grep -o 'bk_[a-z0-9]*' '%s')\n", strings.ReplaceAll(path, "'", `'\''`))
	}
	call := fmt.Sprintf(`  curl -s -H "Authorization: Bearer %s" -H 'X-User-ID: ada' %s/frontend/v1/threads`, key, s.URL)
	fmt.Fprintf(&b, "%s -d '{\"id\":\"hello\",\"title\":\"Hello\"}'\n", call)
	fmt.Fprintf(&b, "%s/id:hello/messages -d '{\"body\":{\"text\":\"Hi there\"}}'\n", call)
	fmt.Fprintf(&b, "%s/id:hello/messages\n\n", call)
	if s.Keys != (Keys{}) {
		fmt.Fprintf(&b, "The keys are in %s; --quiet leaves this text out.\n\n", path)
	}
	return b.String()
}
