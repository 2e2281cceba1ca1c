package shared_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// Every document can be reached from README by links, and no link leads nowhere.
func TestDocumentsAreLinked(t *testing.T) {
	root := ".."
	reached := map[string]bool{}
	var follow func(path string)
	follow = func(path string) {
		if reached[path] {
			return
		}
		reached[path] = true
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Errorf("a link leads to %s: %v", path, err)
			return
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to := filepath.Join(filepath.Dir(path), m[1])
			if strings.HasSuffix(to, ".md") {
				follow(to)
			} else if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s: %v", path, to, err)
			}
		}
	}
	follow("README.md")
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(documents) == 0 {
		t.Fatalf("documents: %v, %v", documents, err)
	}
	for _, d := range documents {
		if path, _ := filepath.Rel(root, d); !reached[path] {
			t.Errorf("%s is linked from nowhere", path)
		}
	}
}
