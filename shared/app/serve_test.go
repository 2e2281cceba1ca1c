package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
)

// served is a store in a folder that is served as bobbin serve does.
type served struct{ *app.Server }

func serve(t *testing.T, args ...string) served {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	app.AddFlags(set, app.StoreOptions, app.MakeOptions, app.TuningOptions, app.ServeOptions, app.LogOptions)
	if err := set.Parse(append([]string{"--db", t.TempDir(), "--addr", "127.0.0.1:0"}, args...)); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.Load(set, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return served{s}
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
