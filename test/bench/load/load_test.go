//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func getRequest(path string) func(conn, i int, buf []byte) []byte {
	return func(conn, i int, buf []byte) []byte {
		return append(buf, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"...)
	}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func mustRun(t *testing.T, opts Options) Result {
	t.Helper()
	result, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRunSendsExactlyTheRequestsAskedFor(t *testing.T) {
	var served atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		io.WriteString(w, "hello")
	})
	result := mustRun(t, Options{Addr: addr, Connections: 8, Requests: 1000, Next: getRequest("/"),
		Check: func(status int, body []byte) error {
			if status != 200 || string(body) != "hello" {
				return fmt.Errorf("status %d, body %q", status, body)
			}
			return nil
		}})
	if result.Requests != 1000 || served.Load() != 1000 || result.Errors != 0 {
		t.Errorf("requests %d, served %d, errors %d (%v), want 1000, 1000, 0", result.Requests, served.Load(), result.Errors, result.FirstError)
	}
	if result.Latency.Count() != 1000 || result.Rate() <= 0 || result.Latency.Quantile(0.5) <= 0 {
		t.Errorf("latencies %d, rate %v, p50 %v", result.Latency.Count(), result.Rate(), result.Latency.Quantile(0.5))
	}
}

func TestRunEndsWhenItsDurationIsOver(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	result := mustRun(t, Options{Addr: addr, Connections: 2, Duration: 50 * time.Millisecond, Next: getRequest("/")})
	if result.Requests == 0 || result.Errors != 0 {
		t.Errorf("requests %d, errors %d (%v)", result.Requests, result.Errors, result.FirstError)
	}
	if result.Elapsed < 40*time.Millisecond || result.Elapsed > 5*time.Second {
		t.Errorf("Elapsed = %s, want about 50ms", result.Elapsed)
	}
}

func TestRunReadsBodiesOfEveryFraming(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 40_000)
	handlers := map[string]http.HandlerFunc{
		"length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(large)))
			io.WriteString(w, large)
		},
		"chunks": func(w http.ResponseWriter, r *http.Request) {
			for part := range strings.SplitSeq(large, "f") {
				if part != "" {
					io.WriteString(w, part+"f")
				}
				w.(http.Flusher).Flush()
			}
		},
		"close after each answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			io.WriteString(w, large)
		},
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			result := mustRun(t, Options{Addr: serve(t, handler), Connections: 2, Requests: 6, Next: getRequest("/"),
				Check: func(status int, body []byte) error {
					if string(body) != large {
						return fmt.Errorf("body of %d bytes differs", len(body))
					}
					return nil
				}})
			if result.Requests != 6 || result.Errors != 0 {
				t.Errorf("requests %d, errors %d (%v), want 6, 0", result.Requests, result.Errors, result.FirstError)
			}
		})
	}
}

func TestRunSendsRequestsLargerThanTheSocketTakes(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 8<<20)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, body) {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	result := mustRun(t, Options{Addr: addr, Connections: 2, Requests: 4, Next: func(conn, i int, buf []byte) []byte {
		buf = fmt.Appendf(buf, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", len(body))
		return append(buf, body...)
	}})
	if result.Requests != 4 || result.Errors != 0 {
		t.Errorf("requests %d, errors %d (%v), want 4, 0", result.Requests, result.Errors, result.FirstError)
	}
}

func TestRunCountsWrongAnswers(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusTeapot) })
	result := mustRun(t, Options{Addr: addr, Connections: 2, Requests: 10, Next: getRequest("/")})
	if result.Errors != 10 || result.Latency.Count() != 0 || result.FirstError == nil {
		t.Errorf("errors %d (%v), latencies %d, want 10 and 0", result.Errors, result.FirstError, result.Latency.Count())
	}
}

func TestRunSurvivesBrokenConnections(t *testing.T) {
	var served atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1)%5 == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	result := mustRun(t, Options{Addr: addr, Connections: 3, Requests: 100, Next: getRequest("/")})
	if result.Errors != 20 || result.Requests != 80 {
		t.Errorf("errors %d, requests %d, want 20 and 80", result.Errors, result.Requests)
	}
}

func TestRunGivesUpAfterMaxErrors(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	result := mustRun(t, Options{Addr: addr, Connections: 1, Requests: 1000, MaxErrors: 7, Next: getRequest("/")})
	if result.Errors != 7 {
		t.Errorf("errors %d, want 7", result.Errors)
	}
}

func TestRunBoundsTheWaitForAnAnswer(t *testing.T) {
	release := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	result := mustRun(t, Options{Addr: addr, Connections: 1, Requests: 1, Timeout: time.Millisecond, Next: getRequest("/")})
	if result.Errors != 1 || result.Requests != 0 {
		t.Errorf("errors %d, requests %d, want 1 and 0", result.Errors, result.Requests)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { cancel(errors.New("enough")) })
	if _, err := Run(ctx, Options{Addr: addr, Connections: 1, Duration: time.Minute, Next: getRequest("/")}); err != nil {
		t.Error(err)
	}
}

func TestRunRefuses(t *testing.T) {
	good := Options{Addr: "127.0.0.1:1", Connections: 1, Requests: 1, Next: getRequest("/")}
	cases := map[string]func(*Options){
		"an address elsewhere": func(o *Options) { o.Addr = "192.0.2.1:80" },
		"every address":        func(o *Options) { o.Addr = "0.0.0.0:80" },
		"a name":               func(o *Options) { o.Addr = "localhost:80" },
		"no bound":             func(o *Options) { o.Requests = 0 },
		"no connections":       func(o *Options) { o.Connections = 0 },
		"no requests to send":  func(o *Options) { o.Next = nil },
		"a closed port":        func(o *Options) {},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			opts := good
			change(&opts)
			if _, err := Run(t.Context(), opts); err == nil {
				t.Error("Run answered without an error")
			}
		})
	}
}
