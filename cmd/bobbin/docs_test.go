package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
)

// newCommands returns every command by its name, as the binary has them.
func newCommands(t *testing.T) (root *cobra.Command, commands map[string]*cobra.Command) {
	t.Helper()
	root = (&console{lookup: func(string) (string, bool) { return "", false }}).newRoot()
	commands = map[string]*cobra.Command{}
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			commands[cmd.Name()] = cmd
		}
	}
	return root, commands
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sections are a page's texts by the words of their headings: "## one, two" is under
// both.
func sections(page string) map[string]string {
	texts := map[string]string{}
	for _, part := range strings.Split(page, "\n## ")[1:] {
		heading, text, _ := strings.Cut(part, "\n")
		for name := range strings.SplitSeq(heading, ", ") {
			texts[name] = text
		}
	}
	return texts
}

var (
	flagRow    = regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)(?: ([A-Z:]+))?` \\|(.*)\\|$")
	flagWord   = regexp.MustCompile(`--([a-z0-9]+(?:-[a-z0-9]+)*)\b`)
	quoted     = regexp.MustCompile("`([^`]+)`")
	commandRef = regexp.MustCompile(`\bbobbin ([a-z]+)\b`)
)

// row is what a table says of a flag.
type row struct {
	kind  string
	cells []string
}

func tableRows(t *testing.T, text string) map[string]row {
	t.Helper()
	rows := map[string]row{}
	for _, m := range flagRow.FindAllStringSubmatch(text, -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("--%s is in a table twice", m[1])
		}
		var cells []string
		for cell := range strings.SplitSeq(m[3], "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows[m[1]] = row{m[2], cells}
	}
	return rows
}

func TestEveryCommandIsInTheDocs(t *testing.T) {
	root, commands := newCommands(t)
	page := readDoc(t, "cli.md")
	described := sections(page)
	for name, cmd := range commands {
		text, there := described[name]
		if !there {
			t.Errorf("docs/cli.md has no section %s", name)
		}
		if cmd.Short == "" || cmd.Runnable() && cmd.Example == "" && name != "version" {
			t.Errorf("%s --help has no summary or no example", name)
		}
		for _, used := range flagWord.FindAllStringSubmatch(text, -1) {
			if !hasFlag(root, commands, used[1]) {
				t.Errorf("docs/cli.md on %s names --%s, which no command has", name, used[1])
			}
		}
	}
	for name := range described {
		if commands[name] == nil {
			t.Errorf("docs/cli.md describes %s, which is no command", name)
		}
	}
	first := regexp.MustCompile("(?m)^`bobbin ([a-z |]+)`$").FindStringSubmatch(page)
	if first == nil {
		t.Fatal("docs/cli.md does not list the commands")
	}
	listed := strings.Split(first[1], " | ")
	slices.Sort(listed)
	var names []string
	for name := range commands {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(listed, names) {
		t.Errorf("docs/cli.md lists %v, want %v", listed, names)
	}
	for _, name := range []string{"cli.md", "configuration.md", "operations.md", "admin.md"} {
		for _, used := range commandRef.FindAllStringSubmatch(readDoc(t, name), -1) {
			if commands[used[1]] == nil {
				t.Errorf("docs/%s says bobbin %s, which is no command", name, used[1])
			}
		}
	}
}

func hasFlag(root *cobra.Command, commands map[string]*cobra.Command, name string) bool {
	if name == "help" || root.PersistentFlags().Lookup(name) != nil {
		return true
	}
	for _, cmd := range commands {
		if cmd.Flags().Lookup(name) != nil {
			return true
		}
	}
	return false
}

// TestEveryOptionIsInTheDocs compares the tables of docs/configuration.md with the flags
// of all commands that the environment may stand for, in both directions.
func TestEveryOptionIsInTheDocs(t *testing.T) {
	_, commands := newCommands(t)
	page := readDoc(t, "configuration.md")
	general, clients, found := strings.Cut(page, "\n## Clients of a server\n")
	if !found {
		t.Fatal("docs/configuration.md has no section on clients")
	}
	options := pflag.NewFlagSet("all", pflag.ContinueOnError)
	app.AddFlags(options, app.Groups...)
	rows := tableRows(t, general)
	options.VisitAll(func(flag *pflag.Flag) {
		r, there := rows[flag.Name]
		if !there {
			t.Errorf("docs/configuration.md lacks --%s", flag.Name)
			return
		}
		delete(rows, flag.Name)
		if r.kind != flag.Value.Type() {
			t.Errorf("docs/configuration.md has --%s %s, --help has %s", flag.Name, r.kind, flag.Value.Type())
		}
		if want := "`" + app.EnvName(flag.Name) + "`"; r.cells[0] != want {
			t.Errorf("docs/configuration.md has %s for --%s, want %s", r.cells[0], flag.Name, want)
		}
		if want := flag.DefValue; want != "" && r.cells[1] != "`"+want+"`" {
			t.Errorf("docs/configuration.md has the default %s for --%s, --help has %q", r.cells[1], flag.Name, want)
		}
		// Where the default depends on other things, both say so in words.
		for _, value := range quoted.FindAllStringSubmatch(r.cells[1], -1) {
			if !strings.Contains(flag.DefValue+" "+flag.Usage, value[1]) {
				t.Errorf("docs/configuration.md has the default %s for --%s, --help has %q", value[1], flag.Name, flag.Usage)
			}
		}
		used := slices.ContainsFunc(slices.Collect(maps.Values(commands)), func(c *cobra.Command) bool { return c.Flags().Lookup(flag.Name) != nil })
		if !used {
			t.Errorf("no command has --%s", flag.Name)
		}
	})
	for name := range rows {
		t.Errorf("docs/configuration.md has --%s, which is no option", name)
	}
	wantRemoteRows(t, commands, tableRows(t, clients))
}

// wantRemoteRows compares the table of what leads to a server: its last cell lists the
// commands that have the flag.
func wantRemoteRows(t *testing.T, commands map[string]*cobra.Command, rows map[string]row) {
	t.Helper()
	users := map[string][]string{}
	for name, cmd := range commands {
		for _, flag := range []string{"url", "backend-key", "frontend-key", "admin-key"} {
			if cmd.Flags().Lookup(flag) != nil {
				users[flag] = append(users[flag], "`"+name+"`")
			}
		}
	}
	for flag, names := range users {
		r, there := rows[flag]
		if !there {
			t.Errorf("docs/configuration.md lacks --%s", flag)
			continue
		}
		said := strings.Split(r.cells[1], ", ")
		slices.Sort(said)
		slices.Sort(names)
		if !slices.Equal(said, names) || r.cells[0] != "`"+app.EnvName(flag)+"`" {
			t.Errorf("docs/configuration.md has %s of %v for --%s, want %s of %v", r.cells[0], said, flag, app.EnvName(flag), names)
		}
	}
	for flag := range rows {
		if users[flag] == nil {
			t.Errorf("docs/configuration.md has --%s, which no command has", flag)
		}
	}
}

// TestOwnFlagsAreInTheDocs wants every flag that only its command has in that command's
// section, with its default where that is shown.
func TestOwnFlagsAreInTheDocs(t *testing.T) {
	_, commands := newCommands(t)
	described := sections(readDoc(t, "cli.md"))
	options := pflag.NewFlagSet("all", pflag.ContinueOnError)
	app.AddFlags(options, app.Groups...)
	for name, cmd := range commands {
		rows := tableRows(t, described[name])
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Name == "help" || options.Lookup(flag.Name) != nil || slices.Contains([]string{"url", "backend-key", "frontend-key", "admin-key"}, flag.Name) {
				return
			}
			r, there := rows[flag.Name]
			delete(rows, flag.Name)
			switch {
			case !there:
				t.Errorf("docs/cli.md on %s has no row for --%s", name, flag.Name)
			case flag.DefValue != "" && flag.DefValue != "false" && r.cells[0] != "`"+flag.DefValue+"`":
				t.Errorf("docs/cli.md on %s has the default %s for --%s, --help has %s", name, r.cells[0], flag.Name, flag.DefValue)
			}
		})
		for flag := range rows {
			t.Errorf("docs/cli.md on %s has a row for --%s, which it does not have", name, flag)
		}
	}
}

func TestExitCodesAreInTheDocs(t *testing.T) {
	said := regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(readDoc(t, "cli.md"), -1)
	var got []string
	for _, m := range said {
		got = append(got, m[1])
	}
	var want []string
	for _, code := range []int{exitDone, exitFailed, exitUsage, exitRefused, exitDamage, exitUnreachable, exitDenied, exitBusy, exitUnknown, exitInterrupted} {
		want = append(want, strconv.Itoa(code))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/cli.md has the exit codes %v, want %v", got, want)
	}
}

// TestEveryCommandHasAScript wants a script for each command that calls it wrongly, asks
// it for a document, and names it.
func TestEveryCommandHasAScript(t *testing.T) {
	_, commands := newCommands(t)
	for name := range commands {
		script, err := os.ReadFile("testdata/" + name + ".txtar")
		if err != nil {
			t.Error(err)
			continue
		}
		wrongly := regexp.MustCompile(`(?m)^exit 2 bobbin ` + name + `\b`)
		document := regexp.MustCompile(`(?m)bobbin ` + name + `\b.* --json\b|bobbin ` + name + ` --json\b|^serve `)
		if !wrongly.Match(script) || !document.Match(script) {
			t.Errorf("testdata/%s.txtar does not try it with bad input and with --json", name)
		}
	}
}
