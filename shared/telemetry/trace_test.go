package telemetry_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// kept keeps the spans that were exported until the tracer is closed, and after.
type kept struct {
	mu    sync.Mutex
	spans tracetest.SpanStubs
}

func (k *kept) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spans = append(k.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (*kept) Shutdown(context.Context) error { return nil }

// traced runs do with a tracer and returns the spans by their names.
func traced(t *testing.T, do func(*telemetry.Tracer)) map[string][]tracetest.SpanStub {
	t.Helper()
	var k kept
	tracer, err := telemetry.NewTracer(t.Context(), telemetry.Release{Version: "1.2.3"}, &k)
	if err != nil {
		t.Fatal(err)
	}
	do(tracer)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	byName := map[string][]tracetest.SpanStub{}
	for _, s := range k.spans {
		byName[s.Name] = append(byName[s.Name], s)
	}
	return byName
}

func attribute(s tracetest.SpanStub, name string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == name {
			return a.Value.String()
		}
	}
	return ""
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestRequestSpan(t *testing.T) {
	spans := traced(t, func(tracer *telemetry.Tracer) {
		b := telemetry.Bucket(memblob.New(time.Now), telemetry.New(telemetry.Release{}, nil), tracer)
		r := httptest.NewRequest("POST", "/secret/path?secret=1", nil)
		r.Header.Set("traceparent", traceparent)
		r, span := tracer.Request(r, "r1")
		span.Route("post-message", "POST", "/threads/{thread}")
		b.Put(telemetry.Carry(context.Background(), r.Context()), "a/b", []byte("secret"), blob.IfAbsent())
		b.Get(r.Context(), "nothing")
		b.Get(t.Context(), "of-nobody")
		span.Answered(503)
	})
	request := spans["POST /threads/{thread}"]
	if len(request) != 1 || len(spans["bucket put"]) != 1 || len(spans["bucket get"]) != 1 {
		t.Fatalf("spans are %v", spans)
	}
	root := request[0]
	if got := root.SpanContext.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" || root.Parent.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("the request's trace is %s, its parent %s, want those of its traceparent", got, root.Parent.SpanID())
	}
	for name, want := range map[string]string{
		"http.request.method": "POST", "http.route": "/threads/{thread}", "http.response.status_code": "503",
		"bobbin.route": "post-message", "bobbin.request_id": "r1",
	} {
		if got := attribute(root, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if root.Status.Code.String() != "Error" {
		t.Errorf("the status of a 503 is %v, want an error", root.Status)
	}
	for name, want := range map[string]string{"bucket put": "ok", "bucket get": "not_exist"} {
		s := spans[name][0]
		if s.Parent.SpanID() != root.SpanContext.SpanID() || attribute(s, "bobbin.outcome") != want || s.Status.Code.String() == "Error" {
			t.Errorf("%s: parent %s, outcome %s, status %v", name, s.Parent.SpanID(), attribute(s, "bobbin.outcome"), s.Status)
		}
	}
	for _, all := range spans {
		for _, s := range all {
			for _, a := range s.Attributes {
				if strings.Contains(a.Value.String(), "secret") {
					t.Errorf("%s has %s = %s", s.Name, a.Key, a.Value.String())
				}
			}
		}
	}
}

func TestBadTraceparentBeginsATrace(t *testing.T) {
	for _, header := range []string{"", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01", strings.Repeat("x", 5000)} {
		spans := traced(t, func(tracer *telemetry.Tracer) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("traceparent", header)
			_, span := tracer.Request(r, "r1")
			span.Answered(200)
		})
		if len(spans["GET"]) != 1 || spans["GET"][0].Parent.IsValid() || !spans["GET"][0].SpanContext.IsValid() {
			t.Errorf("%.40q: spans are %v", header, spans)
		}
	}
}

// A commit lies within the first request that waits for it, and names the others.
func TestSharedWork(t *testing.T) {
	spans := traced(t, func(tracer *telemetry.Tracer) {
		var origins []telemetry.Origin
		for range 3 {
			r, span := tracer.Request(httptest.NewRequest("POST", "/", nil), "r")
			origins = append(origins, tracer.OriginOf(r.Context()), telemetry.Origin{})
			span.Answered(200)
		}
		ctx, span := tracer.StartFor(t.Context(), "commit", origins)
		span.Set("commands", 3)
		_, inner := tracer.Start(ctx, "inner")
		inner.End(blob.ErrDenied)
		span.End(nil)
		if _, nobodys := tracer.StartFor(t.Context(), "untraced", []telemetry.Origin{{}}); nobodys != nil {
			t.Error("work that nobody asked for in a trace is traced")
		}
	})
	if len(spans["commit"]) != 1 || len(spans["POST"]) != 3 {
		t.Fatalf("spans are %v", spans)
	}
	commit := spans["commit"][0]
	if commit.Parent.SpanID() != spans["POST"][0].SpanContext.SpanID() || len(commit.Links) != 2 {
		t.Errorf("the commit's parent is %s, with %d links, want the first request and 2", commit.Parent.SpanID(), len(commit.Links))
	}
	for i, link := range commit.Links {
		if link.SpanContext.SpanID() != spans["POST"][i+1].SpanContext.SpanID() {
			t.Errorf("link %d leads elsewhere", i)
		}
	}
	if got := attribute(commit, "bobbin.commands"); got != "3" {
		t.Errorf("commands are %q, want 3", got)
	}
	if inner := spans["inner"][0]; inner.Status.Code.String() != "Error" || inner.Status.Description != "denied" || inner.Parent.SpanID() != commit.SpanContext.SpanID() {
		t.Errorf("the inner span is %+v", inner)
	}
}

// Without a tracer nothing is kept, changed or allocated.
func TestNoTracer(t *testing.T) {
	var off *telemetry.Tracer
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("traceparent", traceparent)
	ctx := r.Context()
	origins := []telemetry.Origin{off.OriginOf(ctx)}
	allocs := testing.AllocsPerRun(100, func() {
		same, span := off.Request(r, "r1")
		span.Route("a", "GET", "/")
		inner, work := off.Start(ctx, "work")
		work.Set("n", 1)
		work.End(blob.ErrDenied)
		shared, commit := off.StartFor(ctx, "commit", origins)
		span.Answered(200)
		if same != r || inner != ctx || shared != ctx || span != nil || work != nil || commit != nil {
			t.Error("something was traced")
		}
	})
	if allocs > 0 {
		t.Errorf("%g allocations, want none", allocs)
	}
	if err := off.Close(ctx); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// collector takes spans by OTLP over HTTP as one that runs elsewhere does.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // to come; then 200
	tries   int
	names   []string
	headers http.Header
}

func newCollector(t *testing.T, answers ...int) *collector {
	t.Helper()
	c := &collector{answers: answers}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tries++
		c.headers = r.Header.Clone()
		if len(c.answers) > 0 {
			w.WriteHeader(c.answers[0])
			c.answers = c.answers[1:]
			return
		}
		if err := c.take(r); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(b, &data); err != nil {
		return err
	}
	for _, resource := range data.ResourceSpans {
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" || a.Key == "service.version" {
				c.names = append(c.names, a.Value.GetStringValue())
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.names = append(c.names, s.Name)
			}
		}
	}
	return nil
}

func TestExport(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int
		tries   int
		lost    bool
		gzip    bool
	}{
		"at once":             {nil, 1, false, false},
		"compressed":          {nil, 1, false, true},
		"after it was busy":   {[]int{503, 429, 502}, 4, false, true},
		"refused":             {[]int{400}, 1, true, false},
		"refused for the key": {[]int{401}, 1, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			to := newCollector(t, c.answers...)
			exporter, err := telemetry.NewHastyExporter(t.Context(), telemetry.Collector{
				URL: to.URL + "/v1/traces", Timeout: time.Minute, Gzip: c.gzip, Header: http.Header{"X-Key": {"k1"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			var k kept
			spans := traced(t, func(tracer *telemetry.Tracer) {
				_, span := tracer.Start(t.Context(), "work")
				span.End(nil)
			})
			k.spans = spans["work"]
			err = exporter.ExportSpans(t.Context(), k.spans.Snapshots())
			if (err != nil) != c.lost {
				t.Errorf("ExportSpans() = %v, want lost = %t", err, c.lost)
			}
			if to.tries != c.tries || to.headers.Get("X-Key") != "k1" || to.headers.Get("Content-Type") != "application/x-protobuf" {
				t.Errorf("%d attempts with %v, want %d", to.tries, to.headers, c.tries)
			}
			if want := "bobbin 1.2.3 work"; !c.lost && strings.Join(to.names, " ") != want {
				t.Errorf("the collector has %v, want %s", to.names, want)
			}
		})
	}
}

func TestExportGivesUp(t *testing.T) {
	to := newCollector(t)
	to.Close()
	exporter, err := telemetry.NewHastyExporter(t.Context(), telemetry.Collector{URL: to.URL, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	spans := traced(t, func(tracer *telemetry.Tracer) {
		_, span := tracer.Start(t.Context(), "work")
		span.End(nil)
	})
	if err := exporter.ExportSpans(t.Context(), tracetest.SpanStubs(spans["work"]).Snapshots()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ExportSpans() = %v, want it to end with its time", err)
	}
}

// discard exports to nobody.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

func BenchmarkBucketCall(b *testing.B) {
	for name, on := range map[string]bool{"untraced": false, "traced": true} {
		b.Run(name, func(b *testing.B) {
			var tracer *telemetry.Tracer
			ctx := b.Context()
			if on {
				var err error
				if tracer, err = telemetry.NewTracer(ctx, telemetry.Release{}, discard{}); err != nil {
					b.Fatal(err)
				}
				defer tracer.Close(ctx)
				ctx, _ = tracer.Start(ctx, "request")
			}
			bucket := telemetry.Bucket(folder{}, telemetry.New(telemetry.Release{}, nil), tracer)
			b.ReportAllocs()
			for b.Loop() {
				bucket.Get(ctx, "k")
			}
		})
	}
}
