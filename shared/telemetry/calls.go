package telemetry

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Calls counts the bucket calls that were made for one request alone. What is shared,
// like a commit or a probe that several wait for, belongs to no request.
type Calls struct {
	number atomic.Int64
	took   atomic.Int64 // nanoseconds
}

// Number is how many calls ended.
func (c *Calls) Number() int64 { return c.number.Load() }

// Took is the sum of their times. Calls at the same time each count.
func (c *Calls) Took() time.Duration { return time.Duration(c.took.Load()) }

type callsKey struct{}

// WithCalls returns a context whose bucket calls are counted in c.
func WithCalls(ctx context.Context, c *Calls) context.Context {
	return context.WithValue(ctx, callsKey{}, c)
}

// Carry returns ctx with the counter and the span of another context, if that has them:
// for work that is one request's but does not end with it.
func Carry(ctx, from context.Context) context.Context {
	if c, ok := from.Value(callsKey{}).(*Calls); ok {
		ctx = WithCalls(ctx, c)
	}
	if span := trace.SpanFromContext(from); span.IsRecording() {
		ctx = trace.ContextWithSpan(ctx, span)
	}
	return ctx
}

func countCall(ctx context.Context, took time.Duration) {
	if c, ok := ctx.Value(callsKey{}).(*Calls); ok {
		c.number.Add(1)
		c.took.Add(int64(took))
	}
}
