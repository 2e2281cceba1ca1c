package telemetry

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer traces what a process does. A nil Tracer traces nothing, at the cost of a
// comparison.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
}

// Span is a part of the work that is traced; nil when it is not. No attribute of one
// holds a text, a title, a user or a key.
type Span struct{ span trace.Span }

// NewTracer returns a tracer whose spans go to an exporter, in batches. Which requests
// are traced, what else is known of the process and how large batches are say the
// environment variables that OpenTelemetry has for that.
func NewTracer(ctx context.Context, release Release, exporter sdktrace.SpanExporter) (*Tracer, error) {
	// What the environment says comes last, and wins.
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("bobbin"), semconv.ServiceVersion(release.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracer{provider.Tracer("github.com/bobbindb/bobbin"), provider}, nil
}

// Close exports what is left, and ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// w3c reads and writes the headers of W3C Trace Context.
var w3c = propagation.TraceContext{}

// Request begins a request's span, within the trace that its traceparent names, if any.
func (t *Tracer) Request(r *http.Request, requestID string) (*http.Request, *Span) {
	if t == nil {
		return r, nil
	}
	ctx, span := t.tracer.Start(w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), r.Method,
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method), attribute.String("bobbin.request_id", requestID)))
	return r.WithContext(ctx), &Span{span}
}

// Route names a request's span, once its route is known.
func (s *Span) Route(name, method, path string) {
	if s != nil {
		s.span.SetName(method + " " + path)
		s.span.SetAttributes(semconv.HTTPRoute(path), attribute.String("bobbin.route", name))
	}
}

// Answered ends a request's span.
func (s *Span) Answered(status int) {
	if s == nil {
		return
	}
	s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Start begins a span, within that of ctx if it has one.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, &Span{span}
}

// within begins a span only within another one that is recorded.
func (t *Tracer) within(ctx context.Context, name, key string) (context.Context, *Span) {
	if t == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("bobbin.key", key)))
	return ctx, &Span{span}
}

// Origin is the span that something was asked for in.
type Origin struct{ span trace.SpanContext }

// OriginOf is the span of ctx, if that is recorded.
func (t *Tracer) OriginOf(ctx context.Context) Origin {
	if t == nil {
		return Origin{}
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return Origin{span.SpanContext()}
	}
	return Origin{}
}

// StartFor begins a span for work that several asked for: it lies within the first one's
// and names the others'. What nobody asked for in a trace is not traced.
func (t *Tracer) StartFor(ctx context.Context, name string, origins []Origin) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	var asked []trace.Link
	for _, o := range origins {
		if o.span.IsValid() {
			asked = append(asked, trace.Link{SpanContext: o.span})
		}
	}
	if len(asked) == 0 {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(trace.ContextWithSpanContext(ctx, asked[0].SpanContext), name, trace.WithLinks(asked[1:]...))
	return ctx, &Span{span}
}

// Set says a number about the work.
func (s *Span) Set(name string, value int64) {
	if s != nil {
		s.span.SetAttributes(attribute.Int64("bobbin."+name, value))
	}
}

// End ends the span. An error marks it as failed, by its kind alone.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, outcomeNames[outcomeOf(err)])
	}
	s.span.End()
}

// done ends the span of a bucket call. Whether an object is there is an answer.
func (s *Span) done(o outcome) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.String("bobbin.outcome", outcomeNames[o]))
	if o != ok && o != notExist && o != exists {
		s.span.SetStatus(codes.Error, outcomeNames[o])
	}
	s.span.End()
}
