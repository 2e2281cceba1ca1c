package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

// The bill in infra/README.md is what `bobbin cost` prints.
func TestCostInReadme(t *testing.T) {
	var out strings.Builder
	c := &console{in: strings.NewReader(""), out: &out, err: io.Discard, lookup: os.LookupEnv}
	if exit := c.run(t.Context(), []string{"cost"}); exit != exitDone {
		t.Fatalf("bobbin cost exits with %d", exit)
	}
	readme, err := os.ReadFile("../../infra/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```\n"+strings.TrimRight(out.String(), "\n")+"\n```\n") {
		t.Errorf("infra/README.md has another bill than bobbin cost prints:\n%s", out.String())
	}
}
