package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/bobbindb/bobbin/shared/telemetry"
)

// readTraces reads who takes traces from the variables that every program with
// OpenTelemetry reads: OTEL_EXPORTER_OTLP_ENDPOINT and its kin, of which the one for
// traces alone wins. A collector without a URL is nobody.
func readTraces(lookup func(name string) (string, bool)) (to telemetry.Collector, err error) {
	get := func(name string) string { value, _ := lookup("OTEL_" + name); return value }
	either := func(name string) (value, from string) {
		if value := get("EXPORTER_OTLP_TRACES_" + name); value != "" {
			return value, "OTEL_EXPORTER_OTLP_TRACES_" + name
		}
		return get("EXPORTER_OTLP_" + name), "OTEL_EXPORTER_OTLP_" + name
	}
	endpoint, from := either("ENDPOINT")
	if endpoint == "" || strings.EqualFold(get("SDK_DISABLED"), "true") || get("TRACES_EXPORTER") == "none" {
		return telemetry.Collector{}, nil
	}
	var wrong []error
	bad := func(from, want string) { wrong = append(wrong, fmt.Errorf("%s: want %s", from, want)) }
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		bad(from, "a URL like http://127.0.0.1:4318")
	} else if !strings.Contains(from, "_TRACES_") {
		u = u.JoinPath("v1", "traces")
	}
	if value, from := either("PROTOCOL"); value != "" && value != "http/protobuf" {
		bad(from, "http/protobuf, which is all that is spoken")
	}
	if value, from := either("CERTIFICATE"); value != "" {
		bad(from, "nothing: SSL_CERT_FILE says whom to trust")
	}
	switch value, from := either("COMPRESSION"); value {
	case "", "none":
	case "gzip":
		to.Gzip = true
	default:
		bad(from, "gzip or none")
	}
	if value, from := either("TIMEOUT"); value != "" {
		ms, err := strconv.Atoi(value)
		if err != nil || ms <= 0 {
			bad(from, "milliseconds")
		}
		to.Timeout = time.Duration(ms) * time.Millisecond
	}
	value, from := either("HEADERS")
	if to.Header, err = readHeaders(value); err != nil {
		bad(from, "name=value,..., percent-encoded")
	}
	if len(wrong) > 0 {
		return telemetry.Collector{}, errors.Join(wrong...)
	}
	to.URL = u.String()
	return to, nil
}

// readHeaders never shows a value: one may be a key.
func readHeaders(text string) (http.Header, error) {
	header := http.Header{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !found || name == "" || err != nil {
			return nil, errors.New("not a list of headers")
		}
		header.Set(name, plain)
	}
	return header, nil
}

// newTracer returns nil, which traces nothing, when nobody takes traces.
func newTracer(ctx context.Context, cfg Config, log *slog.Logger) (*telemetry.Tracer, error) {
	if cfg.Traces.URL == "" {
		return nil, nil
	}
	// OpenTelemetry has one handler in a process for what it cannot return, such as a
	// collector that does not answer.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("traces were lost", slog.Any("cause", err))
	}))
	exporter, err := telemetry.NewExporter(ctx, cfg.Traces)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	tracer, err := telemetry.NewTracer(ctx, release(), exporter)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	return tracer, nil
}
