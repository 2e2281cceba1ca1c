package telemetry

import (
	"io"
	"log/slog"
)

// LogFormat says how log lines look.
type LogFormat string

// The looks of a log line.
const (
	LogText LogFormat = "text" // for a person
	LogJSON LogFormat = "json" // for a collector of logs
)

// NewLogger returns a logger that writes to w, from level on. Anything but LogText is
// LogJSON.
func NewLogger(w io.Writer, format LogFormat, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: plainError}
	if format == LogText {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// plainError logs an error as its text. Some would add the stack where they were made.
func plainError(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(err.Error())
	}
	return a
}

// RequestID is the attribute under which every log line of a request names it.
func RequestID(id string) slog.Attr { return slog.String("request_id", id) }
