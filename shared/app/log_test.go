package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// marker is in everything that a caller may send, and nowhere else.
const marker = "MarkerOfContent"

// probes are the requests that try one route: sound ones, and broken ones of many kinds.
func probes(route httpapi.Route) (requests []probe) {
	for _, path := range fillPaths(route.Path) {
		requests = append(requests, probe{path: path, body: `{"title":"` + marker + `","body":{"text":"` + marker + `"},"userId":"` + marker + `","id":"` + marker +
			`","slug":"` + marker + `","metadata":{"` + marker + `":"` + marker + `"},"messages":[{"body":"` + marker + `","id":"` + marker + `"}]}`})
		requests = append(requests,
			probe{path: path, body: `{"title":"` + marker},
			probe{path: path, body: marker},
			probe{path: path, body: `{"thread":{"id":"` + marker + `","author":"` + marker + `","title":"` + marker + `","created_ts":1},"messages":[{"author":"` + marker + `","created_ts":2,"body":"` + marker + `"}]}` +
				"\n" + `{"thread":"` + marker + `"}` + "\n" + marker},
		)
		if route.Method != http.MethodGet {
			requests = append(requests, wrongFields(path)...)
		}
		for _, name := range []string{"limit", "before", "after", "anchor", "sort_by", "status", "slug", "as_of", "include_deleted", "path", "partition", "prefix", "author", marker} {
			requests = append(requests, probe{path: path + "?" + name + "=" + marker, body: `{"title":"t","body":1}`})
		}
		for _, name := range []string{"Idempotency-Key", "If-Match", "If-None-Match", "Bobbin-Min-Position", "Bobbin-Consistency", "Content-Encoding",
			"Content-Type", "Accept-Encoding", "Origin", "traceparent", "X-User-Signature", "Authorization", "X-API-Key", "X-User-ID", "User-Agent", "Referer", "Cookie"} {
			requests = append(requests, probe{path: path, body: `{"title":"t","body":1}`, header: []string{name, marker}})
		}
	}
	return requests
}

// wrongFields are bodies in which one field holds what it should not.
func wrongFields(path string) (requests []probe) {
	for _, field := range []string{"title", "body", "id", "slug", "status", "metadata", "head", "expires_at", "role", "format", "model", "usage",
		"parent", "branch", "reply_to", "messages", "userId", "expires_in"} {
		for _, value := range []string{`"` + marker + `"`, `{"` + marker + `":["` + marker + `"]}`, `["` + marker + `"]`, `12` + marker, `"` + strings.Repeat(marker, 30) + `"`} {
			requests = append(requests, probe{path: path, body: `{"title":"t","body":1,"` + field + `":` + value + `}`})
		}
	}
	return requests
}

type probe struct {
	path, body string
	header     []string
}

// fillPaths names what a route's path leaves open: things that are there, and none.
func fillPaths(path string) []string {
	there := strings.NewReplacer("{thread}", "id:"+marker, "{message}", "id:"+marker, "{user}", marker, "{key}", "0063", "{job}", "purge").Replace(path)
	none := strings.NewReplacer("{thread}", "id:no"+marker, "{message}", "id:no"+marker, "{user}", "no"+marker, "{key}", marker, "{job}", marker).Replace(path)
	broken := strings.NewReplacer("{thread}", "%20"+marker, "{message}", "t:"+marker, "{user}", url.PathEscape("\x01"+marker), "{key}", "%00"+marker, "{job}", "%00"+marker).Replace(path)
	if there == none {
		return []string{there}
	}
	return []string{there, none, broken}
}

// try sends every probe of every route with the key that the route wants.
func (s served) try(t *testing.T) {
	t.Helper()
	for _, route := range httpapi.Routes {
		key := s.Keys.Backend
		if strings.HasPrefix(route.Path, "/admin") || route.Path == "/metrics" {
			key = s.Keys.Admin
		}
		for _, p := range probes(route) {
			header := append([]string{"X-API-Key", key, "X-User-ID", marker}, p.header...)
			s.call(t, route.Method, p.path, p.body, header...)
		}
		s.call(t, route.Method, fillPaths(route.Path)[0], marker, "X-API-Key", s.Keys.Frontend, "X-User-ID", marker, "X-User-Signature", marker)
	}
	s.call(t, "POST", "/"+marker, marker, "X-API-Key", marker)
	s.call(t, "GET", "/admin/debug/pprof/"+marker, "", "X-API-Key", s.Keys.Admin)
}

// TestLogHoldsNoContent sends a marker through every route, on a store that is well and
// on one whose folder is taken away, and looks for it in every line that is logged.
func TestLogHoldsNoContent(t *testing.T) {
	var log lines
	dir := t.TempDir()
	s := served{startLogged(t, dir, telemetry.NewLogger(&log, telemetry.LogText, slog.LevelDebug))}
	s.call(t, "POST", "/frontend/v1/threads", `{"id":"`+marker+`","title":"`+marker+`","messages":[{"id":"`+marker+`","body":"`+marker+`"}]}`,
		"X-API-Key", s.Keys.Backend, "X-User-ID", marker)
	s.try(t)
	if err := os.Rename(filepath.Join(dir, "branches"), filepath.Join(dir, "lost")); err != nil {
		t.Fatal(err)
	}
	s.try(t)
	text := log.String()
	for line := range strings.Lines(text) {
		if strings.Contains(line, marker) {
			t.Errorf("a line holds what a caller sent: %s", line)
		}
		for _, key := range []string{s.Keys.Backend, s.Keys.Frontend, s.Keys.Admin, s.Keys.Signing} {
			if strings.Contains(line, key) {
				t.Errorf("a line holds a key: %s", line)
			}
		}
	}
	for _, route := range httpapi.Routes {
		if !strings.Contains(text, "route="+route.Name+" ") {
			t.Errorf("route %s logged nothing", route.Name)
		}
	}
	for _, want := range []string{"status=201", "status=200", "status=400", "status=404", "status=503"} {
		if !strings.Contains(text, want) {
			t.Errorf("no line has %s: the probes reach too little", want)
		}
	}
	named := regexp.MustCompile(`request_id=\S+`)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "route=") && !named.MatchString(line) {
			t.Errorf("a line of a request does not name it: %s", line)
		}
	}
}

func startLogged(t *testing.T, dir string, log *slog.Logger) *app.Server {
	t.Helper()
	s, err := app.Start(t.Context(), config(t, "--db", dir), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err == nil {
			t.Error("a store without its folder takes a checkpoint")
		}
	})
	return s
}
