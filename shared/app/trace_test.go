package app_test

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/bobbindb/bobbin/shared/app"
)

// withEnv is what serve is told by these variables alone.
func withEnv(t *testing.T, env map[string]string) (app.Config, error) {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	app.AddFlags(set, app.Groups...)
	if err := set.Parse([]string{"--addr", "127.0.0.1:0", "--db", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return app.Load(set, func(name string) (string, bool) { value, ok := env[name]; return value, ok })
}

func TestTracesByEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		url  string
		fail string
	}{
		"off":               {nil, "", ""},
		"an endpoint":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces", ""},
		"an endpoint below": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/traces", ""},
		"for traces": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/in",
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TIMEOUT": "500", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "http://c/in", ""},
		"disabled":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, "", ""},
		"no exporter":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, "", ""},
		"gRPC":           {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "", "OTEL_EXPORTER_OTLP_PROTOCOL: want http/protobuf"},
		"no URL":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4318"}, "", "OTEL_EXPORTER_OTLP_ENDPOINT: want a URL"},
		"a certificate":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_CERTIFICATE": "f"}, "", "SSL_CERT_FILE"},
		"bad headers":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, "", "OTEL_EXPORTER_OTLP_HEADERS: want name=value"},
		"a bad timeout":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "1s"}, "", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: want milliseconds"},
		"bad compressor": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "", "want gzip or none"},
	} {
		cfg, err := withEnv(t, c.env)
		if cfg.Traces.URL != c.url || (err != nil) != (c.fail != "") {
			t.Errorf("%s: traces go to %q, %v, want %q", name, cfg.Traces.URL, err, c.url)
		}
		if err != nil && (!strings.Contains(err.Error(), c.fail) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %s", name, err, c.fail)
		}
	}
	cfg, err := withEnv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b, other = c"})
	if err != nil || cfg.Traces.Header.Get("X-Key") != "a b" || cfg.Traces.Header.Get("Other") != "c" {
		t.Errorf("headers are %v, %v", cfg.Traces.Header, err)
	}
}

// TestTraces follows a post through a server into a collector's hands.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var spans []*tracepb.Span
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &data)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range data.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}))
	defer collector.Close()
	cfg, err := withEnv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL})
	if err != nil {
		t.Fatal(err)
	}
	server, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := served{server}
	const trace = "0af7651916cd43dd8448eb211c80319c"
	status, _, text := s.call(t, "POST", "/frontend/v1/threads", `{"id":"`+marker+`","title":"`+marker+`","messages":[{"body":"`+marker+`"}]}`,
		"X-API-Key", s.Keys.Backend, "X-User-ID", marker, "X-Request-Id", "r1", "Idempotency-Key", marker, "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if status != 201 {
		t.Fatal(status, text)
	}
	s.call(t, "GET", "/frontend/v1/threads/id:"+marker+"/messages", "", "X-API-Key", s.Keys.Backend, "X-User-ID", marker)
	s.call(t, "GET", "/healthz", "", "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}

	mu.Lock()
	defer mu.Unlock()
	byName := map[string]*tracepb.Span{}
	for _, span := range spans {
		if text := span.String(); strings.Contains(text, marker) || strings.Contains(text, s.Keys.Backend) {
			t.Errorf("a span holds what a caller sent: %s", text)
		}
		if strings.Contains(span.Name, "healthz") {
			t.Error("a probe is traced")
		}
		if hex.EncodeToString(span.TraceId) == trace || span.Name == "hydrate" || span.Name == "replay" || strings.HasPrefix(span.Name, "GET ") {
			byName[span.Name] = span
		}
	}
	for _, chain := range [][]string{
		{"POST /frontend/v1/threads", "commit", "bucket put"},
		{"hydrate", "replay"},
		{"GET /frontend/v1/threads/{thread}/messages"},
	} {
		var parent *tracepb.Span
		for _, name := range chain {
			span := byName[name]
			if span == nil {
				t.Fatalf("there is no span %s among %d", name, len(spans))
			}
			if parent != nil && string(span.ParentSpanId) != string(parent.SpanId) {
				t.Errorf("%s does not lie within %s", name, parent.Name)
			}
			parent = span
		}
	}
	if got := hex.EncodeToString(byName["POST /frontend/v1/threads"].ParentSpanId); got != "b7ad6b7169203331" {
		t.Errorf("the request's parent is %s, want the caller's span", got)
	}
}

// A collector that does not answer costs traces, and nothing else.
func TestTracesWithoutACollector(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	cfg, err := withEnv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": gone.URL, "OTEL_EXPORTER_OTLP_TIMEOUT": "50"})
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	server, err := app.Start(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s := served{server}
	if status, _, text := s.call(t, "POST", "/frontend/v1/threads", `{"title":"one"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", "u1"); status != 201 {
		t.Error(status, text)
	}
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Stop() = %v", err)
	}
	if !strings.Contains(log.String(), "traces were lost") {
		t.Errorf("log is %q, want it to say that traces were lost", log.String())
	}
}
