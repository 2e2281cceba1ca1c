package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector is who takes traces, by OTLP over HTTP.
type Collector struct {
	URL     string
	Header  http.Header   // of every request, such as a key of the collector's
	Timeout time.Duration // of one batch, with all attempts; 0 means 10 s
	Gzip    bool
}

// NewExporter returns an exporter of spans to a collector. It asks nothing of it yet.
func NewExporter(ctx context.Context, to Collector) (sdktrace.SpanExporter, error) {
	if to.Timeout <= 0 {
		to.Timeout = 10 * time.Second
	}
	return otlptrace.New(ctx, &otlpClient{Collector: to, client: &http.Client{}, pause: time.Second})
}

// otlpClient sends spans. (OpenTelemetry's own client of HTTP brings gRPC with it, which
// makes the program larger and its start slower.)
type otlpClient struct {
	Collector
	client *http.Client
	pause  time.Duration // before the second attempt, and twice as long before each further one
}

// Start implements otlptrace.Client.
func (c *otlpClient) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *otlpClient) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. What the collector cannot take for the
// moment is sent again until the time is over, and is lost then.
func (c *otlpClient) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// It is the request that OTLP calls ExportTraceServiceRequest, byte for byte.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	if c.Gzip {
		if body, err = compress(body); err != nil {
			return fmt.Errorf("compress spans: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	for wait := c.pause; ; wait *= 2 {
		again, after, err := c.send(ctx, body)
		if err == nil || !again {
			return err
		}
		timer := time.NewTimer(max(wait, after))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w, until %w", err, ctx.Err())
		}
	}
}

func compress(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

// send makes one attempt. It says whether another one may do better, and after how long.
func (c *otlpClient) send(ctx context.Context, body []byte) (again bool, after time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return false, 0, fmt.Errorf("send spans: %w", err)
	}
	for name, values := range c.Header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	if c.Gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return ctx.Err() == nil, 0, fmt.Errorf("send spans: %w", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)); err != nil {
		return false, 0, fmt.Errorf("read the collector's answer: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusAccepted:
		return false, 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return again, time.Duration(seconds) * time.Second, fmt.Errorf("the collector answered %s", answer.Status)
}
