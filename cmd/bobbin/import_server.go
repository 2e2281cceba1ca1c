package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/klauspost/compress/gzip"
)

// serverImporter imports through a running server.
type serverImporter struct {
	*client
	key string
}

const (
	// importRequests is how many requests are under way at once.
	importRequests = 4

	// requestBytes is what a request of several lines holds. A server imports the
	// lines of one request several at a time.
	requestBytes = 512 << 10

	// maxRequest is the largest request that a server takes.
	maxRequest = 4 << 20
)

// open finds out whether the server is there and takes the key, before anything is read.
func (s *serverImporter) open(ctx context.Context) error {
	_, err := s.do(ctx, request{method: http.MethodGet, path: "/admin/health", key: s.key})
	return failed("cannot import through "+s.base, err)
}

func (s *serverImporter) limits() (groups, size int) { return importRequests, requestBytes }

func (s *serverImporter) put(ctx context.Context, lines []importLine) ([]lineResult, error) {
	results, lines, body, encoding, err := pack(lines)
	if err != nil || len(lines) == 0 {
		return results, err
	}
	put := make([]lineResult, len(lines))
	err = again(ctx, func() error { return s.send(ctx, lines, body, encoding, put) }, mayPass)
	results = append(results, put...)
	slices.SortFunc(results, func(a, b lineResult) int { return cmp.Compare(a.Line, b.Line) })
	return results, err
}

// pack makes a request's body of some lines: as they are if that is small enough, else
// compressed. A line that fits in no request has its result at once.
func pack(lines []importLine) (results []lineResult, packed []importLine, body []byte, encoding string, err error) {
	for _, line := range lines {
		if line.text == nil {
			results = append(results, tooLong(line))
			continue
		}
		body = append(append(body, line.text...), '\n')
		packed = append(packed, line)
	}
	if len(body) <= maxRequest {
		return results, packed, body, "", nil
	}
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	_, err = z.Write(body)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, nil, nil, "", err
	}
	if small.Len() <= maxRequest {
		return results, packed, small.Bytes(), "gzip", nil
	}
	for _, line := range packed { // only a single line grows so large
		results = append(results, lineResult{Line: line.number, Code: "payload_too_large",
			Error: "the line is larger than 4 MiB, compressed too; import it with --db"})
	}
	return results, nil, nil, "", nil
}

// send makes one request. Lines that it added messages to before stay counted.
func (s *serverImporter) send(ctx context.Context, lines []importLine, body []byte, encoding string, into []lineResult) error {
	text, err := s.do(ctx, request{method: http.MethodPost, path: "/admin/import", key: s.key, body: body, encoding: encoding})
	if err != nil {
		return err
	}
	said := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(said) != len(lines) {
		return fmt.Errorf("the server answered for %d lines of %d: %w", len(said), len(lines), errCutShort)
	}
	var later error
	for i, line := range said {
		var r struct {
			Error string
			Code  string
			Added int64
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("the server's answer for line %d: %w", lines[i].number, err)
		}
		into[i] = lineResult{Line: lines[i].number, Error: r.Error, Code: r.Code, Added: into[i].Added + r.Added}
		if status, ok := passing[r.Code]; ok {
			later = fmt.Errorf("line %d: %w", lines[i].number, &answer{status: status, text: r.Error, code: r.Code})
		}
	}
	return later
}

// errCutShort: a request's answer ended early.
var errCutShort = errors.New("the answer was cut short")

// passing are the codes of refusals that may pass, with the status that they have on
// their own.
var passing = map[string]int{
	"busy":              http.StatusServiceUnavailable,
	"frozen":            http.StatusServiceUnavailable,
	"store_unwritable":  http.StatusServiceUnavailable,
	"store_unavailable": http.StatusServiceUnavailable,
	"outcome_unknown":   http.StatusServiceUnavailable,
	"internal":          http.StatusInternalServerError,
}

// mayPass reports whether the same request may succeed later.
func mayPass(err error) bool {
	var said *answer
	if errors.As(err, &said) {
		return said.status == http.StatusTooManyRequests || said.status >= http.StatusInternalServerError
	}
	return unreachable(err) || errors.Is(err, errCutShort)
}

func (s *serverImporter) close(context.Context) error { return nil }
