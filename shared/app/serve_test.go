package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/test/openapi"
)

// served is a store in a folder that is served as bobbin serve does.
type served struct{ *app.Server }

func serve(t *testing.T, args ...string) served {
	t.Helper()
	s := start(t, args...)
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start serves a store that the test stops.
func start(t *testing.T, args ...string) served {
	t.Helper()
	cfg := config(t, append([]string{"--db", t.TempDir()}, args...)...)
	s, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return served{s}
}

// config is what serve is told by its flags. It listens on a free port.
func config(t *testing.T, args ...string) app.Config {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	app.AddFlags(set, app.Groups...)
	if err := set.Parse(append([]string{"--addr", "127.0.0.1:0"}, args...)); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.Load(set, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// call sends a request; header names and values alternate.
func (s served) call(t *testing.T, method, path, body string, header ...string) (status int, h http.Header, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// The API is described as the release that the binary says it is.
func TestDescriptionNamesTheRelease(t *testing.T) {
	s := serve(t)
	want := "\n  version: " + app.Version + "\n"
	if _, _, text := s.call(t, "GET", "/openapi.yaml", ""); !strings.Contains(text, want) {
		t.Errorf("/openapi.yaml says %s, want%s", regexp.MustCompile(`(?m)^  version: .*$`).FindString(text), want)
	}
}

// The command line may hold keys: the list of profiles does not lead there.
func TestProfilesAreListedWithoutTheCommandLine(t *testing.T) {
	s := serve(t)
	_, _, text := s.call(t, "GET", "/admin/debug/pprof/", "", "X-API-Key", s.Keys.Admin)
	if !strings.Contains(text, "<a href='goroutine?debug=1'>") || strings.Contains(text, "cmdline") {
		t.Errorf("the list of profiles is\n%s", text)
	}
}

// covers: admin-10
func TestAdminRoutes(t *testing.T) {
	s := serve(t)
	for _, c := range []struct {
		path   string
		status int
		has    string
	}{
		{"/admin/health", 200, `"status":"ok"`},
		{"/admin/status", 200, `"checkpoint_seq":0`},
		{"/admin/stats", 200, `{"threads":0,"messages":0,"users":0,"partitions":[{"partition":0,`},
		{"/admin/users", 200, `{"users":[]`},
		{"/admin/keys", 200, `"partition":0`},
		{"/admin/debug/pprof/", 200, "goroutine"},
		{"/admin/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"/admin/debug/pprof/cmdline", 404, ""},
		{"/admin/nowhere", 404, `"error":"not found"`},
	} {
		status, _, text := s.call(t, "GET", c.path, "", "X-API-Key", s.Keys.Admin)
		if status != c.status || !strings.Contains(text, c.has) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, status, text, c.status, c.has)
		}
		if status, _, _ := s.call(t, "GET", c.path, "", "X-API-Key", s.Keys.Backend); status != 403 {
			t.Errorf("%s for a back end: %d, want 403", c.path, status)
		}
	}
}

func TestRate(t *testing.T) {
	s := serve(t, "--rate", "0.001", "--burst", "2")
	for n, want := range []int{200, 200, 429} {
		status, header, text := s.call(t, "GET", "/frontend/v1/threads", "", "X-API-Key", s.Keys.Backend, "X-User-ID", "u1")
		if status != want {
			t.Errorf("call %d: %d %s, want %d", n, status, text, want)
		}
		if retry := header.Get("Retry-After"); (retry != "") != (want == 429) {
			t.Errorf("call %d: Retry-After %q", n, retry)
		}
	}
}

func TestRateOptions(t *testing.T) {
	for args, want := range map[string]string{
		"--rate=-1": "--rate", "--rate=NaN": "--rate", "--rate=2e6": "--rate", "--rate=1 --burst=x": "--burst", "--burst=3": "--burst: without effect",
	} {
		set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		app.AddFlags(set, app.ServeOptions)
		if err := set.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		_, err := app.Load(set, func(string) (string, bool) { return "", false })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s named", args, err, want)
		}
	}
}

func TestServerTiming(t *testing.T) {
	s := serve(t)
	_, header, _ := s.call(t, "GET", "/frontend/v1/threads", "", "X-API-Key", s.Keys.Backend, "X-User-ID", "u1")
	pattern := regexp.MustCompile(`^total;dur=\d+\.\d{3}, bucket;dur=\d+\.\d{3};desc="calls: [1-9]\d*"$`)
	if got := header.Get("Server-Timing"); !pattern.MatchString(got) {
		t.Errorf("Server-Timing %q", got)
	}
	// A commit is shared by those who wait for it.
	_, header, _ = s.call(t, "POST", "/frontend/v1/threads", `{"title":"one"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", "u1")
	if got := header.Get("Server-Timing"); !strings.HasPrefix(got, "total;dur=") {
		t.Errorf("Server-Timing %q", got)
	}
	if _, header, _ := s.call(t, "GET", "/healthz", ""); header.Get("Server-Timing") == "" {
		t.Error("no Server-Timing without the store")
	}
}

// Origins and addresses that are let in are those of the flags.
func TestWhoIsLetIn(t *testing.T) {
	s := serve(t, "--allowed-origins", "https://a.example,https://b.example", "--allowed-addrs", "10.0.0.0/8")
	for origin, want := range map[string]string{"https://b.example": "https://b.example", "https://c.example": ""} {
		status, header, _ := s.call(t, "GET", "/frontend/v1/threads", "", "X-API-Key", s.Keys.Backend, "Origin", origin)
		if got := header.Get("Access-Control-Allow-Origin"); status != 403 || got != want {
			t.Errorf("from %s: %d, allowed %q, want 403 and %q", origin, status, got, want)
		}
	}
	if status, _, _ := s.call(t, "GET", "/healthz", ""); status != 200 {
		t.Errorf("health from elsewhere: %d, want 200", status)
	}
	if _, header, _ := serve(t, "--allowed-origins", "*").call(t, "GET", "/healthz", "", "Origin", "https://any.example"); header.Get("Access-Control-Allow-Origin") != "https://any.example" {
		t.Error("* does not allow every origin")
	}
}

// What a running server answers to an operator is as its description says.
//
// covers: admin-2
func TestStatusIsAsDescribed(t *testing.T) {
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, "--admin-keys", "ak")
	for _, path := range []string{"/admin/status", "/admin/stats", "/admin/users", "/admin/health", "/readyz"} {
		status, header, body := s.call(t, "GET", path, "", "X-API-Key", "ak")
		err := d.Check(openapi.Exchange{
			Request: httptest.NewRequest("GET", path, nil), Status: status, Header: header, Body: []byte(body),
		})
		if status != http.StatusOK || err != nil {
			t.Errorf("GET %s: %d %s: %v", path, status, body, err)
		}
	}
}
