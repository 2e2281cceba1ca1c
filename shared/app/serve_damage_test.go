package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/app"
)

// A server that met a damaged table goes on with the others, names it once in its log, and
// says so when it ends.
func TestServeEndsWithTheDamageThatItMet(t *testing.T) {
	dir := t.TempDir()
	var threads []string
	t.Run("fill", func(t *testing.T) {
		s := serve(t, "--db", dir)
		for range 10 {
			text := make([]byte, 100_000)
			_, _ = rand.Read(text) // it never fails
			status, _, answer := s.call(t, http.MethodPost, "/frontend/v1/threads",
				fmt.Sprintf(`{"title":"one","messages":[{"body":%q}]}`, hex.EncodeToString(text)), "X-API-Key", s.Keys.Backend, "X-User-ID", "ada")
			if status != http.StatusCreated {
				t.Fatalf("POST = %d %s", status, answer)
			}
			threads = append(threads, strings.Split(answer, `"`)[3])
		}
	})
	table := largest(t, dir)
	path := filepath.Join(dir, filepath.FromSlash(table))
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 0xff
	put(t, path, body)

	var log bytes.Buffer
	s, err := app.Start(t.Context(), config(t, "--db", dir), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	statuses := map[int]int{}
	for _, thread := range threads {
		for range 2 {
			status, _, _ := served{s}.call(t, http.MethodGet, "/frontend/v1/threads/"+thread+"/messages", "", "X-API-Key", s.Keys.Backend, "X-User-ID", "ada")
			statuses[status]++
		}
	}
	if statuses[200] == 0 || statuses[500] == 0 || len(statuses) != 2 {
		t.Fatalf("reads are answered with %v, want some with 200 and those of the damaged table with 500", statuses)
	}
	if status, _, text := (served{s}).call(t, http.MethodGet, "/readyz", ""); status != 200 {
		t.Errorf("GET /readyz = %d %s, want 200: other reads go on", status, text)
	}
	err = s.Stop(context.WithoutCancel(t.Context()))
	if !app.Damaged(err) || !strings.Contains(err.Error(), table) {
		t.Errorf("Stop() = %v, want damage of %s", err, table)
	}
	line := `level=ERROR msg="table is damaged" table=` + table
	if n := strings.Count(log.String(), line); n != 1 {
		t.Errorf("the log says %d times that %s is damaged, want once:\n%s", n, table, log.String())
	}
}

// largest is the key of the largest table of a store.
func largest(t *testing.T, dir string) (key string) {
	t.Helper()
	most := int64(-1)
	for _, table := range list(t, dir, "tables/") {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(table)))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			key, most = table, info.Size()
		}
	}
	return key
}
