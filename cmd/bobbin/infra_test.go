package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
)

// TestUnit wants systemd to understand the unit, and bobbin what the unit tells it.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../../infra/systemd/bobbin.service")
	if err != nil {
		t.Fatal(err)
	}
	_, commands := newCommands(t)
	flags := commands["serve"].Flags()
	given := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "ExecStart":
			words := strings.Fields(value)
			if len(words) < 2 || words[1] != "serve" {
				t.Fatalf("the unit starts %q", value)
			}
			set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
			set.AddFlagSet(flags)
			set.AddFlagSet(commands["serve"].InheritedFlags())
			if err := set.Parse(words[2:]); err != nil || set.NArg() > 0 {
				t.Errorf("the unit starts %q: %v", value, err)
			}
		case "Environment":
			name, value, _ := strings.Cut(value, "=")
			given[name] = value
		}
	}
	read := map[string]bool{}
	cfg, err := app.Load(flags, func(name string) (string, bool) {
		read[name] = true
		value, ok := given[name]
		return value, ok
	})
	if err != nil {
		t.Error(err)
	}
	for name := range given {
		if !read[name] {
			t.Errorf("the unit sets %s, which serve does not read", name)
		}
	}
	if cfg.Bucket != "file:///var/lib/bobbin" || !strings.Contains(string(text), "\nStateDirectory=bobbin\n") {
		t.Errorf("the store is in %s, which is not the unit's state directory", cfg.Bucket)
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here to read the unit")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "bobbin.service")
	if err := os.WriteFile(copied, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/bobbin", self)), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput(); err != nil || strings.Contains(string(said), "bobbin.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
}
