//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRandomBodiesAreValidJSON(t *testing.T) {
	random := newBodies(1)
	var first, second struct{ Body string }
	for _, into := range []*struct{ Body string }{&first, &second} {
		if err := json.Unmarshal(random.appendMessage(nil), into); err != nil {
			t.Fatal(err)
		}
	}
	if len(first.Body) != bodySize || first.Body == second.Body {
		t.Errorf("bodies of %d and %d characters, equal %t", len(first.Body), len(second.Body), first.Body == second.Body)
	}
	var batch struct{ Messages []struct{ Body string } }
	if err := json.Unmarshal(random.appendBatch(nil, 3), &batch); err != nil || len(batch.Messages) != 3 {
		t.Errorf("a batch of %d messages, error %v, want 3", len(batch.Messages), err)
	}
	var line struct{ Messages []struct{ ID string } }
	if err := json.Unmarshal(random.appendConversation(nil, "c", "u", 4, time.Now().UnixNano()), &line); err != nil || len(line.Messages) != 4 {
		t.Errorf("a conversation of %d messages, error %v, want 4", len(line.Messages), err)
	}
}

func TestRequestBytes(t *testing.T) {
	at := endpoint{addr: "127.0.0.1:1", backendKey: "b", adminKey: "a"}
	where := messageAt{thread{key: "t:1", owner: "u"}, "t:1:m:2:3"}
	got := string(at.appendGet(nil, "GET", where.path(), "u"))
	want := "GET /frontend/v1/threads/t%3A1/messages/t%3A1%3Am%3A2%3A3 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAuthorization: Bearer b\r\nX-User-ID: u\r\n\r\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = string(at.appendPost(nil, "/admin/import", "", []byte("{}")))
	want = "POST /admin/import HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAuthorization: Bearer a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJudge(t *testing.T) {
	wanted := target{rate: 100, p50: 2 * time.Millisecond, p99: 10 * time.Millisecond, ratio: 1.5}
	good := figure{rate: 150, p50: time.Millisecond, p99: 5 * time.Millisecond}
	cases := []struct {
		name string
		own  figure
		peer *figure
		want string
	}{
		{"alone", good, nil, "yes"},
		{"beside a slower peer", good, &figure{rate: 100, p99: 6 * time.Millisecond}, "yes"},
		{"beside a faster peer", good, &figure{rate: 101, p99: 4 * time.Millisecond}, "no: ratio, p99 above peer"},
		{"slow", figure{rate: 99, p50: 3 * time.Millisecond, p99: 11 * time.Millisecond}, nil, "no: rate, p50, p99"},
		{"wrong", figure{rate: 150, errors: 2}, nil, "no: 2 errors"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := wanted.judge(c.own, c.peer); got != c.want {
				t.Errorf("judge = %q, want %q", got, c.want)
			}
		})
	}
}

func TestTables(t *testing.T) {
	own, peer := &figure{rate: 12345.6, p50: time.Millisecond, p99: 2 * time.Millisecond}, &figure{rate: 6172.8, p99: 3 * time.Millisecond}
	rows := []row{loadRow("post", 64, target{rate: 6000, ratio: 1.7}, own, peer), {scenario: "memory", rate: "1.0 MB"}}
	var aligned, markdown strings.Builder
	writeAligned(&aligned, rows)
	writeMarkdown(&markdown, rows)
	want := "| post | 64 | 12,346/s | 1ms | 2ms | ≥ 6,000/s, ≥ 1.7x peer | yes | 6,173/s | 3ms | 2.00x |\n"
	if !strings.Contains(markdown.String(), want) {
		t.Errorf("markdown is\n%swant a line\n%s", markdown.String(), want)
	}
	if lines := strings.Count(aligned.String(), "\n"); lines != 3 {
		t.Errorf("%d aligned lines, want 3", lines)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -123456: "-123,456"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestFolderSizes(t *testing.T) {
	dir := t.TempDir()
	for path, size := range map[string]int{
		"bobbin.json": 1, "tables/aa": 2, "branches/main-1/p000/manifest": 4, "branches/main-1/p000/log/00000000000000000001": 8,
		"branches/main-1/p000/segments/1-2-x": 16, "branches/main-1/p000/checkpoints/1-x": 32, "keys/users/h/k": 64,
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sizes, err := folderSizes(dir)
	if err != nil || sizes["tables"] != 2 || sizes["log"] != 8 || sizes["segments"] != 16 || sizes["checkpoints"] != 32 ||
		sizes["keys"] != 64 || sizes["other"] != 5 || sizes.total() != 127 {
		t.Errorf("sizes %v, total %d, error %v", sizes, sizes.total(), err)
	}
}

func TestFindLooksInside(t *testing.T) {
	fields := map[string]any{"a": map[string]any{"tables_bytes": 5.0}, "b": "x"}
	if got, found := find(fields, "tables_bytes"); got != 5 || !found {
		t.Errorf("find = %v, %t, want 5", got, found)
	}
	if _, found := find(fields, "absent"); found {
		t.Error("find found what is not there")
	}
}

func TestFlags(t *testing.T) {
	if o, err := parseFlags([]string{"--peer"}); err != nil || !o.wants("start") || o.wants("nothing") {
		t.Errorf("options %v, error %v", o, err)
	}
	for _, args := range []string{"", "--peer --scenario x", "--peer rest", "--peer --duration 0s", "--peer --rounds 0", "--peer --messages 0", "--peer --fill x", "--peer --peer-post x", "--peer --wait 2h"} {
		if _, err := parseFlags(strings.Fields(args)); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

// TestBobbinProcess starts a stand-in that says its line and then waits: what
// is tested is the reading of the line and the end of the process.
func TestBobbinProcess(t *testing.T) {
	stand := func(t *testing.T, script string) *bobbin {
		dir := t.TempDir()
		path := filepath.Join(dir, "bobbin")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		return newBobbin(options{bobbin: path}, dir)
	}
	t.Run("ends when told", func(t *testing.T) {
		b := stand(t, `echo '{"url":"http://127.0.0.1:1234","backend_key":"b","admin_key":"a"}'; exec sleep 60`)
		for _, end := range []func() error{b.stop, b.kill, b.close} {
			if err := b.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := (endpoint{"127.0.0.1:1234", "b", "a"}); b.endpoint() != want {
				t.Errorf("endpoint %v, want %v", b.endpoint(), want)
			}
			if resident, err := residentBytes(b.process.pid()); err != nil || resident <= 0 {
				t.Errorf("resident %d, error %v", resident, err)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("keys are remembered", func(t *testing.T) {
		b := stand(t, `echo '{"url":"http://127.0.0.1:1234"}'; exec sleep 60`)
		b.at = endpoint{backendKey: "b", adminKey: "a"}
		if err := b.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer b.close()
		if b.at.backendKey != "b" || b.at.adminKey != "a" {
			t.Errorf("endpoint %v has lost its keys", b.at)
		}
	})
	t.Run("says nothing", func(t *testing.T) {
		if err := stand(t, "exit 3").start(t.Context()); err == nil {
			t.Error("start answered without an error")
		}
	})
}
