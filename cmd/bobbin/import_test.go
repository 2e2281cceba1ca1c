package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// command runs a command in this process.
func command(ctx context.Context, in io.Reader, args ...string) (exit int, stdout, stderr string) {
	var out, text bytes.Buffer
	c := &console{in: in, out: &out, err: &text, lookup: func(string) (string, bool) { return "", false }}
	exit = c.run(ctx, args)
	return exit, out.String(), text.String()
}

func lineOf(i int) string {
	return fmt.Sprintf(`{"thread":{"id":"t%d","author":"ada","title":"T","created_ts":%d},"messages":[]}`+"\n", i, 1700000000000000000+i)
}

// Every third line is damaged, more of them than are named, and many lines are under way
// at once. They are named in order, and counted.
func TestImportNamesFailedLinesInOrder(t *testing.T) {
	var text strings.Builder
	var want []string
	for i := 1; i <= 450; i++ {
		if i%3 != 0 {
			text.WriteString(lineOf(i))
			continue
		}
		text.WriteString("{\"thread\":\n")
		want = append(want, fmt.Sprintf("line %d:", i))
	}
	exit, _, said := command(t.Context(), strings.NewReader(text.String()), "import", "--db", t.TempDir(), "-")
	if exit != exitDamage {
		t.Errorf("import exits with %d, want %d", exit, exitDamage)
	}
	var got []string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "line ") {
			got = append(got, strings.Join(strings.Fields(line)[:2], " "))
		}
	}
	if shown := strings.Join(want[:maxNamed], " "); strings.Join(got, " ") != shown {
		t.Errorf("import names %v, want %v", got, shown)
	}
	for _, text := range []string{"and 50 lines more; --json lists them all", "150 failed", "150 lines of 450 did not go in", "the first is line 3:"} {
		if !strings.Contains(said, text) {
			t.Errorf("import says %q, want %q in it", said, text)
		}
	}

	_, document, _ := command(t.Context(), strings.NewReader(text.String()), "import", "--json", "--db", t.TempDir(), "-")
	var result importResult
	if err := json.Unmarshal([]byte(document), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Failures) != 150 || result.Failures[149].Line != 450 {
		t.Errorf("import --json lists %d lines, the last %+v, want 150 up to line 450", len(result.Failures), result.Failures[len(result.Failures)-1])
	}
}

// interrupted interrupts after some lines, as somebody does who waits no longer.
type interrupted struct {
	lines  int
	cancel context.CancelFunc
}

func (r *interrupted) Read(p []byte) (int, error) {
	if r.lines++; r.lines == 500 {
		r.cancel()
	}
	return copy(p, lineOf(r.lines)), nil
}

func TestImportInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	exit, _, said := command(ctx, &interrupted{cancel: cancel}, "import", "--db", t.TempDir(), "-")
	if exit != exitInterrupted {
		t.Errorf("import exits with %d, want %d", exit, exitInterrupted)
	}
	if !strings.Contains(said, "import the file again to go on: what is in is not imported twice") || strings.Contains(said, "Idempotency-Key") {
		t.Errorf("import says %q, want how to go on", said)
	}
}
