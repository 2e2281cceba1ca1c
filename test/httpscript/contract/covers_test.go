package contract_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

var (
	anchor = regexp.MustCompile(`<a id="([^"]*)"></a>`)
	covers = regexp.MustCompile(`^(?:#|//) covers: (.*)$`)
)

// Every line of docs/http-api.md that carries an anchor is held by a case of a script,
// or by a test where no conversation can show it, and they name no line that is not
// there.
func TestEveryLineOfTheContractIsHeld(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "http-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{} // whether it is held
	for _, found := range anchor.FindAllStringSubmatch(string(page), -1) {
		if _, twice := lines[found[1]]; twice {
			t.Errorf("docs/http-api.md has two lines called %s", found[1])
		}
		lines[found[1]] = false
	}
	if len(lines) < 100 {
		t.Fatalf("docs/http-api.md has %d lines with an anchor", len(lines))
	}
	for _, at := range held(t) {
		if _, ok := lines[at.line]; !ok {
			t.Errorf("%s covers %q, which is no line of docs/http-api.md", at.where, at.line)
		}
		lines[at.line] = true
	}
	for line, ok := range lines {
		if !ok {
			t.Errorf("nothing covers the line %s of docs/http-api.md", line)
		}
	}
}

// Every rule of the page, an item of a list or a row of a table, begins with an anchor.
func TestEveryRuleHasAnAnchor(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "http-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	inTable := false // below the line that ends a table's head
	for number, line := range strings.Split(string(page), "\n") {
		row := strings.HasPrefix(line, "|")
		rule := strings.HasPrefix(line, "- ") || row && inTable
		if rule && !strings.HasPrefix(strings.TrimLeft(line, "-| "), `<a id="`) {
			t.Errorf("docs/http-api.md:%d has no anchor: %s", number+1, line)
		}
		inTable = row && (inTable || strings.HasPrefix(line, "|---"))
	}
}

type holding struct{ where, line string }

// held is what every script and every test says that it covers. In a script it stands
// right below the name of a case, in a test right above its function.
func held(t *testing.T) []holding {
	t.Helper()
	var out []holding
	read := func(name string) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, line := range lines {
			found := covers.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			script := strings.HasSuffix(name, ".http")
			if script && !strings.HasPrefix(lines[i-1], "=== ") || !script && !strings.HasPrefix(lines[i+1], "func Test") {
				t.Errorf("%s:%d covers something, and is not at a case or a test", name, i+1)
			}
			for line := range strings.FieldsSeq(found[1]) {
				out = append(out, holding{strings.TrimPrefix(name, root+"/"), line})
			}
		}
	}
	for _, dir := range []string{"shared", "test", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, entry fs.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(name, ".http") || strings.HasSuffix(name, "_test.go")) {
				read(name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Every folder of scripts is one that a test plays.
func TestEveryScriptIsPlayed(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "shared", "httpapi", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	players := map[string]string{"admin": "test/engine/admin_test.go"}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		player, ok := players[entry.Name()]
		quoted := `"../../shared/httpapi/testdata/` + entry.Name() + `/*.http"`
		if !ok {
			player, quoted = "shared/httpapi/script_test.go", `"`+entry.Name()+`":`
		}
		text, err := os.ReadFile(filepath.Join(root, player))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.Contains(line, quoted) }) {
			t.Errorf("%s does not play %s", player, entry.Name())
		}
	}
}
