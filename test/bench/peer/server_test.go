//go:build linux

package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startServer runs a database and a server on it for one test, which is
// skipped where PostgreSQL is not installed.
func startServer(t *testing.T, post Post) (*Postgres, string) {
	t.Helper()
	// The database's user must be able to pass through the folder's parents.
	dir, err := os.MkdirTemp("", "bobbin-peer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	database, err := NewPostgres(t.Context(), filepath.Join(dir, "postgres"))
	if errors.Is(err, ErrNoPostgres) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := database.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	server, err := NewServer(t.Context(), database.ConnString(), post)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	front := httptest.NewServer(server.Handler())
	t.Cleanup(front.Close)
	return database, front.URL
}

// call sends one request as a user and returns the decoded answer.
func call(ctx context.Context, method, url, body string) (status int, answer map[string]any, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-User-ID", "ann")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	return response.StatusCode, answer, json.Unmarshal(text, &answer)
}

func mustCall(t *testing.T, want int, method, url, body string) map[string]any {
	t.Helper()
	status, answer, err := call(t.Context(), method, url, body)
	if err != nil || status != want {
		t.Fatalf("%s %s: status %d, answer %v, error %v, want %d", method, url, status, answer, err, want)
	}
	return answer
}

func TestServerAnswersLikeBobbin(t *testing.T) {
	for _, post := range []Post{PostTransaction, PostStatement} {
		t.Run(string(post), func(t *testing.T) {
			_, url := startServer(t, post)
			url += "/frontend/v1/threads"
			thread := mustCall(t, 201, "POST", url, `{"title":"a"}`)["key"].(string)
			messages := url + "/" + strings.ReplaceAll(thread, ":", "%3A") + "/messages"
			var keys []string
			for i := range 60 {
				keys = append(keys, mustCall(t, 201, "POST", messages, fmt.Sprintf(`{"body":{"n":%d}}`, i))["key"].(string))
			}
			got := mustCall(t, 200, "GET", messages+"/"+keys[7], "")["message"].(map[string]any)
			if got["key"] != keys[7] || got["thread"] != thread || got["author"] != "ann" || fmt.Sprint(got["body"]) != "map[n:7]" {
				t.Errorf("message 7 is %v", got)
			}
			mustCall(t, 200, "DELETE", messages+"/"+keys[59], "")
			mustCall(t, 404, "DELETE", messages+"/"+keys[59], "")
			mustCall(t, 404, "GET", messages+"/"+keys[59], "")

			page := mustCall(t, 200, "GET", messages+"?limit=50", "")
			list, pagination := page["messages"].([]any), page["pagination"].(map[string]any)
			if first := list[0].(map[string]any)["key"]; len(list) != 50 || first != keys[9] {
				t.Errorf("a page of %d from %v, want 50 from %s", len(list), first, keys[9])
			}
			if pagination["total"] != 59.0 || pagination["count"] != 50.0 || pagination["has_before"] != true ||
				pagination["has_after"] != false || pagination["before_anchor"] != keys[9] || pagination["after_anchor"] != keys[58] {
				t.Errorf("pagination is %v", pagination)
			}
			batch := mustCall(t, 201, "POST", messages+"/batch", `{"messages":[{"body":1},{"body":2}]}`)["keys"].([]any)
			if len(batch) != 2 || !strings.HasSuffix(batch[1].(string), ":000000061") {
				t.Errorf("a batch answers %v, want messages 60 and 61", batch)
			}
			mustCall(t, 404, "POST", url+"/t:1234567890123456789"+slot+"/messages", `{"body":1}`)
		})
	}
}

func TestServerImports(t *testing.T) {
	_, url := startServer(t, PostTransaction)
	line := `{"thread":{"id":"c1","author":"ann","title":"a"},"messages":[{"author":"ann","created_ts":5,"body":{"text":"x"}}]}`
	key := mustCall(t, 200, "POST", url+"/admin/import", line)["key"]
	found := mustCall(t, 200, "GET", url+"/frontend/v1/threads/id:c1", "")["thread"].(map[string]any)
	if found["key"] != key {
		t.Errorf("thread c1 is %v, want %v", found["key"], key)
	}
}

func TestPostgresKeepsWhatItAcknowledgedWhenKilled(t *testing.T) {
	database, url := startServer(t, PostTransaction)
	url += "/frontend/v1/threads"
	thread := mustCall(t, 201, "POST", url, `{"title":"a"}`)["key"].(string)
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	if status, answer, err := call(t.Context(), "GET", url+"/"+thread, ""); err != nil || status != 500 {
		t.Fatalf("a killed database gives %d %v %v, want 500", status, answer, err)
	}
	if err := database.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := database.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	// Each connection that the pool still holds is broken and fails one request at most.
	for range poolSize {
		if status, _, _ := call(t.Context(), "GET", url+"/"+thread, ""); status == 200 {
			break
		}
	}
	mustCall(t, 200, "GET", url+"/"+thread, "")
}
