package telemetry

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// NewHastyExporter is NewExporter, but sends again at once.
func NewHastyExporter(ctx context.Context, to Collector) (sdktrace.SpanExporter, error) {
	return otlptrace.New(ctx, &otlpClient{Collector: to, client: &http.Client{}, pause: time.Nanosecond})
}
