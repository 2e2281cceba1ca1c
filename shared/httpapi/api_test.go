package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// as makes a request of a back end for user u1.
func as(method, path string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Authorization", "Bearer back")
	r.Header.Set("X-User-ID", "u1")
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestSignVector(t *testing.T) {
	const want = "45a23390a8cfdc20657226cadc79394acb995a3a114372c38bc4ba450a010cac"
	if got := httpapi.Sign([]byte("sign_example"), "u1"); got != want {
		t.Errorf("Sign() = %s, want %s", got, want)
	}
}

// Every answer is one line, refusals and compressed lists too, and a repeated one is the
// first, byte by byte.
func TestAnswersAreLines(t *testing.T) {
	o, _ := newOptions()
	o.CompressFrom = 1
	api := httpapi.New(o)
	create := func() *http.Request {
		r := as("POST", "/frontend/v1/threads", strings.NewReader(`{"title":"one"}`))
		r.Header.Set("Idempotency-Key", "k1")
		return r
	}
	first := serve(api, create()).Body.String()
	if again := serve(api, create()).Body.String(); again != first {
		t.Errorf("POST again = %q, want %q", again, first)
	}
	packed := as("GET", "/frontend/v1/threads", nil)
	packed.Header.Set("Accept-Encoding", "gzip")
	z, err := gzip.NewReader(serve(api, packed).Body)
	if err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"created":    first,
		"list":       serve(api, as("GET", "/frontend/v1/threads", nil)).Body.String(),
		"compressed": string(list),
		"refused":    serve(api, as("GET", "/nowhere", nil)).Body.String(),
		"healthy":    serve(api, as("GET", "/healthz", nil)).Body.String(),
	} {
		if !strings.HasSuffix(body, "}\n") || strings.Count(body, "\n") != 1 {
			t.Errorf("%s: %q, want one line", name, body)
		}
	}
}

// A client that left is its own affair, whatever the answer would have been.
func TestClientThatLeft(t *testing.T) {
	o, m := newOptions()
	var log bytes.Buffer
	o.Log = telemetry.NewLogger(&log, telemetry.LogText, slog.LevelInfo)
	api := httpapi.New(o)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	m.fail = chat.ErrUnavailable.Because(ctx.Err())
	create := func() *http.Request {
		return as("POST", "/frontend/v1/threads", strings.NewReader(`{"title":"one"}`))
	}
	serve(api, create().WithContext(ctx))
	if log.Len() > 0 {
		t.Errorf("the log says %s, want nothing", &log)
	}
	if serve(api, create()); !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("the log says %q of a client that waited, want a warning", &log)
	}
}

func TestRoutesAreNamedOnce(t *testing.T) {
	names, paths := map[string]bool{}, map[string]bool{}
	for _, r := range httpapi.Routes {
		if names[r.Name] || paths[r.Method+r.Path] {
			t.Errorf("route %s is there twice", r.Name)
		}
		names[r.Name], paths[r.Method+r.Path] = true, true
	}
}

func TestBodyOfUnknownLength(t *testing.T) {
	o, _ := newOptions()
	o.MaxBody = 64
	api := httpapi.New(o)
	var key string
	fmt.Sscanf(serve(api, as("POST", "/frontend/v1/threads", strings.NewReader(`{"title":"one"}`))).Body.String(), `{"key":%q}`, &key)
	for _, tt := range []struct {
		size, want int
	}{{64, http.StatusCreated}, {65, http.StatusRequestEntityTooLarge}} {
		body := `{"body":"` + strings.Repeat("x", tt.size-len(`{"body":""}`)) + `"}`
		r := as("POST", "/frontend/v1/threads/"+key+"/messages", io.MultiReader(strings.NewReader(body)))
		r.ContentLength = -1
		if got := serve(api, r); got.Code != tt.want {
			t.Errorf("%d bytes: %d %s, want %d", tt.size, got.Code, got.Body, tt.want)
		}
	}
}

func TestBrokenBody(t *testing.T) {
	o, _ := newOptions()
	r := as("POST", "/frontend/v1/threads", io.MultiReader(strings.NewReader(`{"title":"one"`), failing{}))
	if got := serve(httpapi.New(o), r); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), "invalid thread payload") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// TestBodiesDoNotMix posts from many callers at once: buffers are shared, texts are not.
func TestBodiesDoNotMix(t *testing.T) {
	o, _ := newOptions()
	api := httpapi.New(o)
	var wg sync.WaitGroup
	for user := range 8 {
		wg.Go(func() {
			send := func(method, path, body string) string {
				r := as(method, path, strings.NewReader(body))
				r.Header.Set("X-User-ID", fmt.Sprint("user", user))
				return serve(api, r).Body.String()
			}
			var thread string
			fmt.Sscanf(send("POST", "/frontend/v1/threads", `{"title":"one"}`), `{"key":%q}`, &thread)
			for n := range 50 {
				text := strings.Repeat(fmt.Sprintf("%d.%d ", user, n), n)
				var key string
				fmt.Sscanf(send("POST", "/frontend/v1/threads/"+thread+"/messages", `{"body":"`+text+`"}`), `{"key":%q}`, &key)
				got := send("GET", "/frontend/v1/threads/"+thread+"/messages/"+key, "")
				if want := `"body":"` + text + `"`; !strings.Contains(got, want) {
					t.Errorf("message %d.%d is %s", user, n, got)
				}
			}
		})
	}
	wg.Wait()
}

// covers: busy-5
func TestCancelled(t *testing.T) {
	for _, tt := range []struct{ method, want string }{
		{"POST", "outcome_unknown"},
		{"GET", "store_unavailable"},
	} {
		o, m := newOptions()
		m.fail = fmt.Errorf("wait: %w", context.Canceled)
		o.Service.Reader = cancelledReader{}
		got := serve(httpapi.New(o), as(tt.method, "/frontend/v1/threads", strings.NewReader(`{"title":"one"}`)))
		if got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), tt.want) {
			t.Errorf("%s: %d %s, want %s", tt.method, got.Code, got.Body, tt.want)
		}
	}
}

type cancelledReader struct{ chat.Reader }

func (cancelledReader) Threads(context.Context, chat.Owner, chat.ThreadQuery, chat.ReadOptions) (chat.ThreadPage, chat.Position, error) {
	return chat.ThreadPage{}, chat.Position{}, context.DeadlineExceeded
}

func TestPanicIsAnInternalError(t *testing.T) {
	var log bytes.Buffer
	o, _ := newOptions()
	o.Log = telemetry.NewLogger(&log, telemetry.LogJSON, slog.LevelInfo)
	o.Service.Writer = nil
	got := serve(httpapi.New(o), as("POST", "/frontend/v1/threads", strings.NewReader(`{"title":"one"}`)))
	if want := `{"error":"internal error","code":"internal","request_id":"made"}` + "\n"; got.Code != 500 || got.Body.String() != want {
		t.Errorf("%d %s, want 500 %s", got.Code, got.Body, want)
	}
	if !strings.Contains(log.String(), "nil pointer") || !strings.Contains(log.String(), `"request_id":"made"`) {
		t.Errorf("log is %s", log.String())
	}
}

// A panic's own words may be a caller's: only the runtime's are logged.
func TestPanicTextStaysOutOfTheLog(t *testing.T) {
	var log bytes.Buffer
	o, _ := newOptions()
	o.Log = telemetry.NewLogger(&log, telemetry.LogJSON, slog.LevelInfo)
	o.Admin.Health = func(context.Context) error { panic("SECRET") }
	r := httptest.NewRequest("GET", "/admin/health", nil)
	r.Header.Set("X-API-Key", "admin")
	if got := serve(httpapi.New(o), r); got.Code != 500 {
		t.Errorf("%d, want 500", got.Code)
	}
	if strings.Contains(log.String(), "SECRET") || !strings.Contains(log.String(), `"panic":"string"`) || !strings.Contains(log.String(), "api_test.go") {
		t.Errorf("log is %s", log.String())
	}
}

// TestLogHoldsNoContent runs a request of every kind with every log line on.
//
// covers: transport-15
func TestLogHoldsNoContent(t *testing.T) {
	var log bytes.Buffer
	o, m := newOptions()
	o.Log = telemetry.NewLogger(&log, telemetry.LogText, slog.LevelDebug)
	api := httpapi.New(o)
	serve(api, as("POST", "/frontend/v1/threads", strings.NewReader(`{"title":"SECRET","id":"c1","messages":[{"body":"SECRET"}]}`)))
	serve(api, as("POST", "/frontend/v1/threads/id:c1/messages", strings.NewReader(`{"body":"SECRET"`)))
	serve(api, as("POST", "/frontend/v1/threads/id:c1/messages", strings.NewReader(`{"body":1,"expires_at":"SECRET"}`)))
	serve(api, as("GET", "/frontend/v1/threads/id:c1/messages", nil))
	m.fail = errors.New("disk on fire")
	serve(api, as("PUT", "/frontend/v1/threads/id:c1", strings.NewReader(`{"title":"SECRET"}`)))
	if got := log.String(); strings.Contains(got, "SECRET") {
		t.Errorf("log holds content:\n%s", got)
	}
	for _, want := range []string{"disk on fire", "route=update-thread", "request_id=made", "status=201"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestNotReady(t *testing.T) {
	o, _ := newOptions()
	o.Ready = func(context.Context) error { return errors.New("no bucket") }
	o.Admin.Health = o.Ready
	api := httpapi.New(o)
	admin := httptest.NewRequest("GET", "/admin/health", nil)
	admin.Header.Set("X-API-Key", "admin")
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/readyz", nil), admin} {
		got := serve(api, r)
		want := `{"error":"not ready","code":"not_ready","request_id":"made"}` + "\n"
		if got.Code != 503 || got.Body.String() != want || got.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s, want 503 %s", r.URL, got.Code, got.Body, want)
		}
	}
}

func TestMetricsHandlerNeedsNoKey(t *testing.T) {
	o, _ := newOptions()
	got := serve(httpapi.New(o).MetricsHandler(), httptest.NewRequest("GET", "/metrics", nil))
	if got.Code != 200 || !strings.Contains(got.Body.String(), "bobbin_open_replicas 0") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestOtherAdminRoutes(t *testing.T) {
	o, _ := newOptions()
	o.Admin.Other = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	api := httpapi.New(o)
	r := httptest.NewRequest("GET", "/admin/debug/pprof/heap", nil)
	if got := serve(api, r); got.Code != 401 {
		t.Errorf("without a key: %d, want 401", got.Code)
	}
	r.Header.Set("X-API-Key", "admin")
	if got := serve(api, r); got.Code != 200 || got.Body.String() != "/admin/debug/pprof/heap" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestOverTheWire(t *testing.T) {
	o, _ := newOptions()
	o.AllowedAddrs = nil
	server := httptest.NewServer(httpapi.New(o))
	defer server.Close()
	var lines strings.Builder
	for n := range 300 {
		fmt.Fprintf(&lines, `{"thread":{"id":"c%d","author":"u1","title":"x","created_ts":1},"messages":[{"author":"u1","created_ts":1,"body":%d}]}`+"\n", n%100, n)
	}
	r, err := http.NewRequest("POST", server.URL+"/admin/import", strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", "admin")
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	results := strings.Split(strings.TrimSpace(string(body)), "\n")
	if len(results) != 300 {
		t.Fatalf("%d results, want 300", len(results))
	}
	for n, result := range results {
		added := 0
		if n < 100 {
			added = 1
		}
		if !strings.HasPrefix(result, fmt.Sprintf(`{"line":%d,"id":"c%d",`, n+1, n%100)) || !strings.HasSuffix(result, fmt.Sprintf(`"added":%d}`, added)) {
			t.Errorf("result %d is %s", n+1, result)
		}
	}
}

func FuzzPostMessage(f *testing.F) {
	o, _ := newOptions()
	api := httpapi.New(o)
	serve(api, as("POST", "/frontend/v1/threads", strings.NewReader(`{"title":"one","id":"c1"}`)))
	f.Add([]byte(`{"body":{"a":1},"usage":{},"parent":"id:x","expires_at":1}`))
	f.Add([]byte(`{"body":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := serve(api, as("POST", "/frontend/v1/threads/id:c1/messages", bytes.NewReader(body)))
		if got.Code >= 500 {
			t.Errorf("%q: %d %s", body, got.Code, got.Body)
		}
	})
}
