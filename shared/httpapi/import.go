package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/conversation"
)

const (
	// maxImport is the most that an import inflates to, in bytes.
	maxImport = 64 << 20

	// importAhead is how many conversations of one request are imported at once, so
	// that they share commits.
	importAhead = 16
)

// importThreads imports conversations, one a line, and answers with a line for each,
// in their order, as it goes. A line that fails does not stop the others.
func (a *API) importThreads(x *exchange) error {
	text, err := x.importText()
	if err != nil {
		return err
	}
	x.Header().Set("Content-Type", "application/x-ndjson")
	x.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(x.w)
	results := x.startImport(text)
	for result := range results {
		if _, err := x.Write(<-result); err == nil && len(results) == 0 {
			flush.Flush() // whoever cannot flush delivers at the end
		}
	}
	return nil
}

// importText takes in the whole request, at most MaxBatchBody as it was sent, and
// returns what it inflates to.
func (x *exchange) importText() (io.Reader, error) {
	if x.r.ContentLength > MaxBatchBody {
		return nil, errTooLarge
	}
	var err error
	x.in, err = readInto(x.in[:0], x.r.Body, MaxBatchBody)
	if errors.Is(err, errTooLarge) {
		return nil, err
	}
	if err != nil {
		return nil, errImportPayload.Because(err)
	}
	switch strings.ToLower(first(x.r.Header, "Content-Encoding")) {
	case "", "identity":
		return bytes.NewReader(x.in), nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(x.in))
		if err != nil {
			return nil, errImportPayload.Because(err)
		}
		return &capped{from: z, left: maxImport + 1}, nil
	}
	return nil, errImportPayload
}

// startImport imports the lines of a text in a goroutine that ends when the caller has
// taken every result. A line waits for an earlier one of the same thread.
func (x *exchange) startImport(text io.Reader) <-chan chan []byte {
	ctx := x.r.Context()
	results := make(chan chan []byte, importAhead)
	go func() {
		defer close(results)
		latest := make(map[chat.Owner]map[chat.ClientID]chan struct{})
		source := &watched{from: text}
		lines := bufio.NewScanner(source)
		lines.Split(source.lines)
		lines.Buffer(make([]byte, 64<<10), maxImport+1)
		number := 0
		for lines.Scan() && ctx.Err() == nil {
			number++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			in, err := conversation.Parse(lines.Bytes())
			in.Owner.Tenant = x.grant.Tenant
			job := &importJob{x: x, number: number, in: in, result: make(chan []byte, 1)}
			results <- job.result
			if err != nil {
				job.failed(err)
				continue
			}
			job.chain(latest)
			go job.run(ctx)
		}
		if err := lines.Err(); err != nil {
			job := &importJob{x: x, number: number + 1, result: make(chan []byte, 1)}
			results <- job.result
			job.failed(importError(err))
		}
	}()
	return results
}

// watched is a text that knows how its reading ended.
type watched struct {
	from io.Reader
	err  error
}

// Read reads on.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.from.Read(b)
	w.err = err
	return n, err
}

// lines is bufio.ScanLines, but for a text that ends with an error: what comes after its
// last line break is no line, though it may look like one.
func (w *watched) lines(data []byte, atEOF bool) (int, []byte, error) {
	if atEOF && w.err != io.EOF && bytes.IndexByte(data, '\n') < 0 { //nolint:errorlint // as io.Reader has it
		return len(data), nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}

// importError is what stopped an import in the middle.
func importError(err error) error {
	if errors.Is(err, errTooLarge) || errors.Is(err, bufio.ErrTooLong) {
		return errTooLarge
	}
	return errImportPayload.Because(err)
}

// importJob is one line of an import.
type importJob struct {
	x      *exchange
	number int
	in     chat.Conversation
	before chan struct{} // closed when an earlier line of the same thread is done; may be nil
	done   chan struct{}
	result chan []byte
}

// chain puts the job behind the latest one of the same thread.
func (j *importJob) chain(latest map[chat.Owner]map[chat.ClientID]chan struct{}) {
	threads := latest[j.in.Owner]
	if threads == nil {
		threads = make(map[chat.ClientID]chan struct{})
		latest[j.in.Owner] = threads
	}
	j.before, j.done = threads[j.in.ClientID], make(chan struct{})
	threads[j.in.ClientID] = j.done
}

func (j *importJob) run(ctx context.Context) {
	defer close(j.done)
	defer func() {
		if p := recover(); p != nil {
			j.failed(fmt.Errorf("import panicked: %v", p))
		}
	}()
	if j.before != nil {
		<-j.before
	}
	result, err := j.x.api.Service.Import(ctx, j.x.id, j.in)
	if err != nil {
		j.failed(err)
		return
	}
	b := appendInt([]byte{'{'}, "line", int64(j.number))
	b = appendText(b, "id", string(j.in.ClientID))
	b = appendKey(b, "key", result.Thread)
	b = appendInt(b, "added", int64(result.Created))
	j.result <- append(b, "}\n"...)
}

func (j *importJob) failed(err error) {
	e := j.x.classify(err)
	j.x.logFailure(statuses[e.Kind], err)
	b := appendInt([]byte{'{'}, "line", int64(j.number))
	b = appendText(b, "error", e.Text)
	b = appendText(b, "code", e.Code)
	j.result <- append(b, "}\n"...)
}

// capped gives errTooLarge once left bytes were read.
type capped struct {
	from io.Reader
	left int64
}

// Read reads at most what is left.
func (c *capped) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLarge
	}
	n, err := c.from.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}
