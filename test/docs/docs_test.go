//go:build unix

package docs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/bobbindb/bobbin/shared/app" // so that a kept result of these tests is one of this program
	"github.com/bobbindb/bobbin/test/docs"
)

const root = "../.."

// checkout is a folder like a checkout in which `make build` was run.
var checkout string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bobbin-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	checkout = dir
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "bobbin"), "./cmd/bobbin")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need skips a test where a tool is missing; in CI, which has them, it fails.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing, so these documents are not checked", tool)
			}
			t.Skipf("%s is missing, so these documents are NOT checked", tool)
		}
	}
}

// TestDocuments runs every document as a reader would who types all that it shows.
func TestDocuments(t *testing.T) {
	need(t, "bash", "curl")
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatalf("documents: %v, %v", documents, err)
	}
	lookAt(t, filepath.Join(root, "cmd", "bobbin", "*.go"))
	for _, path := range append(documents, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			runDocument(t, path)
		})
	}
}

// lookAt looks at files that the program is built from and the test cannot import: go test
// keeps a result only as long as what the test looked at stays as it is.
func lookAt(t *testing.T, pattern string) {
	t.Helper()
	sources, err := filepath.Glob(pattern)
	if err != nil || len(sources) == 0 {
		t.Fatalf("%s: %v, %v", pattern, sources, err)
	}
	for _, path := range sources {
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
}

func runDocument(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := docs.Parse(string(text))
	if err != nil {
		t.Fatalf("%s:\n%v", path, err)
	}
	left := 0
	for _, b := range parsed.Blocks {
		switch {
		case b.NotRun != "":
			left++
			t.Logf("%s, line %d: not run: %s", path, b.Line, b.NotRun)
		case strings.HasPrefix(b.Commands[0].Text, "make "):
			need(t, "make")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := docs.Run(ctx, parsed, setting(t)); err != nil {
		t.Errorf("%s:\n%v", path, err)
	}
	t.Logf("%s: %d of %d blocks of shell were run", path, len(parsed.Blocks)-left, len(parsed.Blocks))
}

// setting is a checkout for one document, with the program built already: so make is told
// that Go is `true`. The reader has nothing configured, no keys and no proxy.
func setting(t *testing.T) docs.Setting {
	t.Helper()
	dir := t.TempDir()
	makefile, err := filepath.Abs(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"bin": filepath.Join(checkout, "bin"), "Makefile": makefile} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"HOME=" + t.TempDir(), "PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "GO=true", "NO_COLOR=1", "TMPDIR=" + t.TempDir()}
	return docs.Setting{Dir: dir, Scratch: t.TempDir(), Env: env}
}
