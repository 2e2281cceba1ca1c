//go:build unix

package docs_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/test/docs"
)

// run runs a page without Bobbin in a folder of its own.
func run(t *testing.T, text string) (dir string, err error) {
	t.Helper()
	need(t, "bash")
	parsed, err := docs.Parse(page(text))
	if err != nil {
		t.Fatalf("Parse() = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir = t.TempDir()
	return dir, docs.Run(ctx, parsed, docs.Setting{Dir: dir, Scratch: t.TempDir(), Env: os.Environ()})
}

func TestPagesThatAreTrue(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"one shell for all blocks", "~~~sh\na=1; mkdir d; cd d; f() { echo \"$a $1\"; }\n~~~\n~~~console\n$ f \\\n   2; basename \"$PWD\"\n1 2\nd\n~~~\n"},
		{"a block that is not run", "<!-- not run: it would end everything -->\n~~~sh\nexit 1\n~~~\n"},
		{"what goes to stderr is seen", "~~~console\n$ echo b >&2\nb\n~~~\n"},
		{"a failure that is shown", "~~~console\n$ false || echo \"exit $?\"\nexit 1\n~~~\n"},
		{"an address is the page's", "~~~console\n$ echo http://127.0.0.1:8081/x\nhttp://127.0.0.1:8081/x\n~~~\n"},
		{"the address of a server that is told none", "~~~console\n$ echo $BOBBIN_ADDR\n127.0.0.1:8080\n~~~\n"},
		{"an empty page", "# Nothing\n"},
		{"a server beside", "<!-- in a terminal of its own -->\n~~~sh\necho listening on x; exec sleep 600\n~~~\n~~~console\n$ echo a\na\n~~~\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := run(t, tt.text); err != nil {
				t.Errorf("Run() = %v, want nil", err)
			}
		})
	}
}

func TestPagesThatLie(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"another output", "~~~console\n$ echo a\nb\n~~~\n", "line 2: it printed\na\nand the page shows\nb\n"},
		{"an output that is left out", "~~~console\n$ echo a\n~~~\n", "line 2: it printed\na\n"},
		{"every lie is told", "~~~console\n$ echo a\nb\n$ echo c\nd\n~~~\n", "line 4: it printed\nc\n"},
		{"a command that fails", "text\n~~~sh\ntrue\n~~~\n~~~sh\necho why; false\ntrue\n~~~\n", "line 6: the command ended with 1:\nwhy\n"},
		{"a command that fails in a pipe", "~~~sh\nfalse | cat\n~~~\n", "line 2: the command ended with 1"},
		{"a command that fails with an output as shown", "~~~console\n$ echo a; false\na\n~~~\n", "line 2: the command ended with 1"},
		{"a name that nothing set", "~~~sh\necho $surely_not_set\n~~~\n", "line 2: the command ended with 1"},
		{"no such command", "~~~sh\nbobbin-2\n~~~\n", "line 2: the command ended with 127"},
		{"an end before the end", "~~~sh\nexit 0\n~~~\n~~~sh\nfalse\n~~~\n", "line 5: it never came to this command"},
		{"a server that ends", "<!-- in a terminal of its own -->\n~~~sh\nfalse\n~~~\n", "line 3: the command ended with 1"},
		{"shell that is not shell", "~~~sh\nif\n~~~\n", "line 2: it never came to this command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := run(t, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run() = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	dir, err := run(t, "~~~sh\n(sleep 600 & echo $! >pid)\nsleep 600 &\n~~~\n")
	if err != nil {
		t.Fatalf("Run() = %v", err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	// A process that nobody waited for yet has no command line any more.
	line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/cmdline")
	if err == nil && len(line) > 0 {
		t.Errorf("process %s is still there: %s", pid, line)
	}
}

func TestAPageWithoutAnEndIsEnded(t *testing.T) {
	need(t, "bash")
	parsed, err := docs.Parse(page("~~~sh\necho begun >begun; sleep 600\n~~~\n"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = docs.Run(ctx, parsed, docs.Setting{Dir: t.TempDir(), Scratch: t.TempDir(), Env: os.Environ()})
	if err == nil || !strings.Contains(err.Error(), "line 2: ") {
		t.Errorf("Run() = %v, want that line 2 did not end", err)
	}
}
