// Package shared_test holds the rules that concern every package.
package shared_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bobbindb/bobbin/"

// layers are the project's packages from the top down. A package may import only those
// on lines below its own; neighbours never import each other. "x/*" stands for
// everything directly below x.
var layers = [][]string{
	{"functions/*", "cmd/*"},
	{"shared/app"},
	{"shared/httpapi"},
	{"shared/release", "shared/writer/lambdawriter"},
	{"shared/writer", "shared/replica", "shared/compactor", "shared/janitor", "shared/retention", "shared/branch", "shared/upgrade"},
	{"shared/partition"},
	{"shared/store", "shared/checkpoint", "shared/keyring", "shared/telemetry", "shared/catalog", "shared/access", "shared/job"},
	{"shared/commitlog", "shared/doctor"},
	{"shared/blob/s3blob", "shared/blob/fileblob", "shared/blob/memblob", "shared/seal/awskms", "shared/seal/localkeeper"},
	{"shared/blob", "shared/seal", "shared/conversation"},
	{"shared/chat", "shared/cost", "shared/keyfile", "migrations"},
}

// adapters is the line of packages that only app, cmd and tests import.
const adapters = 8

// only says who may import a library that others reach through that package.
var only = map[string][]string{
	"github.com/cockroachdb/pebble/v2":         {"shared/store", "shared/checkpoint"},
	"github.com/aws/aws-lambda-go":             {"functions/*", "shared/httpapi"},
	"github.com/aws/aws-sdk-go-v2/service/kms": {"shared/seal/awskms"},
	"github.com/tink-crypto/tink-go/v2":        {"shared/seal", "shared/seal/localkeeper"},
}

// file is a Go file of the project by what it imports.
type file struct {
	name    string
	pkg     string // the package's path within the module
	imports []string
	test    bool // of a test, or of a package for tests
}

func TestLayers(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range readFiles(t, "..") {
		seen[f.pkg] = true
		for _, rule := range []func(file) string{breaksLayers, breaksOnly} {
			if wrong := rule(f); wrong != "" {
				t.Errorf("%s: %s", f.name, wrong)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("read %d packages: the project was not found", len(seen))
	}
}

var numbered = regexp.MustCompile(`(?m)^ ?\d+  (\S.*)$`)

// CONTRIBUTING.md shows the layers as they are held here.
func TestContributingShowsTheLayers(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := numbered.FindAllStringSubmatch(string(text), -1)
	if len(shown) != len(layers) {
		t.Fatalf("CONTRIBUTING.md shows %d lines, want %d", len(shown), len(layers))
	}
	for i, line := range layers {
		var want []string
		for _, pkg := range line {
			want = append(want, strings.TrimPrefix(pkg, "shared/"))
		}
		if got := strings.Fields(shown[i][1]); !slices.Equal(got, want) {
			t.Errorf("CONTRIBUTING.md shows %q on line %d, want %q", got, i+1, want)
		}
	}
}

// breaksLayers says which of a file's imports the layers forbid; "" for none.
func breaksLayers(f file) string {
	if f.test {
		return ""
	}
	own := lineOf(f.pkg)
	if own < 0 {
		return f.pkg + " is on no line of the layers"
	}
	for _, imported := range f.imports {
		target, ours := strings.CutPrefix(imported, module)
		if !ours || target == f.pkg {
			continue
		}
		line := lineOf(target)
		switch {
		case isForTests(target):
			return "imports " + target + ", which is for tests"
		case line < 0:
			return "imports " + target + ", which is on no line of the layers"
		case line <= own:
			return "is on line " + strconv.Itoa(own+1) + " and imports " + target + " on line " + strconv.Itoa(line+1)
		case line == adapters && own > 1:
			return "imports the adapter " + target + ", which only app, cmd and tests may"
		}
	}
	return ""
}

// breaksOnly says which library a file imports that is another package's to import.
func breaksOnly(f file) string {
	if f.test {
		return ""
	}
	for library, owners := range only {
		for _, imported := range f.imports {
			if imported != library && !strings.HasPrefix(imported, library+"/") {
				continue
			}
			if !slices.ContainsFunc(owners, func(owner string) bool { return matches(owner, f.pkg) }) {
				return "imports " + imported + ", which only " + strings.Join(owners, " and ") + " may"
			}
		}
	}
	return ""
}

// lineOf is the line of a package, counted from 0; -1 for none.
func lineOf(pkg string) int {
	return slices.IndexFunc(layers, func(line []string) bool {
		return slices.ContainsFunc(line, func(pattern string) bool { return matches(pattern, pkg) })
	})
}

func matches(pattern, pkg string) bool {
	if parent, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path.Dir(pkg) == parent
	}
	return pattern == pkg
}

// isForTests reports whether a package exists for tests: all of test/, and contracts
// such as blobtest.
func isForTests(pkg string) bool {
	return pkg == "test" || strings.HasPrefix(pkg, "test/") || strings.HasSuffix(path.Base(pkg), "test")
}

// readFiles reads what every Go file of the module below root imports. Folders that are
// modules of their own are not part of it.
func readFiles(t *testing.T, root string) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && skipped(name, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := readFile(root, name)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// skipped reports whether a folder is no part of the module, as the go command sees it.
func skipped(dir, name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func readFile(root, name string) (file, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		return file{}, err
	}
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return file{}, err
	}
	pkg := path.Dir(filepath.ToSlash(relative))
	f := file{name: relative, pkg: pkg, test: strings.HasSuffix(name, "_test.go") || isForTests(pkg)}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}

func TestLayersAreHeld(t *testing.T) {
	for _, c := range []struct {
		name, pkg, imports string
		test, breaks       bool
	}{
		{"downwards", "shared/writer", module + "shared/partition", false, false},
		{"the standard library", "shared/chat", "context", false, false},
		{"upwards", "shared/partition", module + "shared/writer", false, true},
		{"a neighbour", "shared/writer", module + "shared/replica", false, true},
		{"an adapter from app", "shared/app", module + "shared/blob/fileblob", false, false},
		{"an adapter from elsewhere", "shared/partition", module + "shared/blob/fileblob", false, true},
		{"an adapter from a test", "shared/partition", module + "shared/blob/fileblob", true, false},
		{"a package for tests", "shared/app", module + "shared/blob/blobtest", false, true},
		{"a package that nobody knows", "shared/app", module + "shared/helper", false, true},
		{"from a package that nobody knows", "shared/helper", "fmt", false, true},
		{"Pebble in the store", "shared/store", "github.com/cockroachdb/pebble/v2/sstable", false, false},
		{"Tink in a keyring", "shared/keyring", "github.com/tink-crypto/tink-go/v2/aead/subtle", false, true},
		{"Pebble elsewhere", "shared/writer", "github.com/cockroachdb/pebble/v2", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := file{pkg: c.pkg, imports: []string{c.imports}, test: c.test}
			if got := breaksLayers(f) + breaksOnly(f); (got != "") != c.breaks {
				t.Errorf("%s imports %s: %q, want breaks = %t", c.pkg, c.imports, got, c.breaks)
			}
		})
	}
}
