package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mounted mounts something until the test ends, or skips the test where that is not
// allowed.
func mounted(t *testing.T, source, target, kind string, flags uintptr, options string) (unmount func()) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENODEV) {
			t.Skipf("cannot mount (needs root): %v", err)
		}
		t.Fatalf("mount %s: %v", target, err)
	}
	unmount = sync.OnceFunc(func() {
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	})
	t.Cleanup(unmount)
	return unmount
}

// smallDisk is a store's folder on a disk of its own.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	mounted(t, "bobbin-e2e", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes))
	return filepath.Join(dir, "db")
}

// fill writes a file until the disk has no more than leave bytes of room.
func fill(t *testing.T, path string, leave int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 4
		} else if err != nil {
			t.Fatal(err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(info.Size() - int64(leave)); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk has the disk fill up, twice: at once, and in the middle of writing.
func TestFullDisk(t *testing.T) {
	db := smallDisk(t, 64)
	filler := filepath.Join(filepath.Dir(db), "filler")
	p := start(t, db)
	w := &probes{client: newClient(t, "ada"), p: p, taken: map[string]string{}, refused: map[string]string{}, codes: map[string]int{}}
	w.thread = w.client.create(t, p, "full disk")
	for i := range 100 {
		w.post(t, fmt.Sprint("before ", i))
	}
	fill(t, filler, 0)
	for i := range 30 {
		w.post(t, fmt.Sprint("full ", i))
	}
	if w.codes["store_unwritable"] == 0 {
		t.Errorf("answers on a full disk: %v, want some that the store cannot be written", w.codes)
	}
	w.check(t) // a full disk can be read
	free(t, filler)
	w.again(t)

	fill(t, filler, 1<<20)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 150 {
				w.post(t, fmt.Sprintf("filling %d %d %s", i, n, noise(4<<10)))
			}
		})
	}
	all.Wait()
	w.check(t)
	t.Logf("answers: %v", w.codes)

	// The last checkpoint has no room, and nothing has at a start. Both may fail, but
	// neither hang nor do harm.
	fill(t, filler, 0)
	p.signal(t, syscall.SIGTERM)
	t.Logf("stop on a full disk: exit code %d", p.exit(t, exitWithin))
	if err := os.RemoveAll(filepath.Join(db, ".work")); err != nil { // else a start makes room
		t.Fatal(err)
	}
	fill(t, filler, 0)
	half := launch(t, db)
	select {
	case <-half.ready:
		t.Log("start on a full disk: done")
	case <-half.exited:
		threeLines(t, result{stderr: half.log(), code: half.cmd.ProcessState.ExitCode()}, 1, "no space left on device", "make room")
	case <-time.After(startWithin):
		t.Error("serve on a full disk neither starts nor ends")
	}
	half.kill()
	free(t, filler)
	w.p = start(t, db)
	w.again(t)
	w.check(t)
	w.p.stop(t)
	if v := verify(t, db); v.Messages != len(w.taken) && w.codes["outcome_unknown"] == 0 {
		t.Errorf("verify counts %d messages, want %d", v.Messages, len(w.taken))
	}
}

func free(t *testing.T, filler string) {
	t.Helper()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
}

func noise(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// probes are posts to a server that may refuse them, and what became of each.
type probes struct {
	client *client
	p      *process
	thread string

	mu      sync.Mutex
	taken   map[string]string // text to key
	refused map[string]string // text to code
	codes   map[string]int
}

// post posts once. Refused is all that may happen instead.
func (w *probes) post(t *testing.T, text string) bool {
	t.Helper()
	a, err := w.client.call(t.Context(), w.p, http.MethodPost, messagesPath(w.thread), textBody(text))
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		t.Errorf("%.40s: %v", text, err)
	case a.status == http.StatusCreated:
		w.taken[text] = a.key()
		w.codes["taken"]++
		return true
	case a.status == http.StatusServiceUnavailable && a.text() != "" && a.header.Get("Retry-After") != "":
		w.refused[text] = a.code()
		w.codes[a.code()]++
	default:
		t.Errorf("%.40s: status %d, %s; want 503 with Retry-After", text, a.status, a.body)
	}
	return false
}

// again waits until posts are taken.
func (w *probes) again(t *testing.T) {
	t.Helper()
	n := 0
	eventually(t, 30*time.Second, "posts are taken again", func() bool {
		n++
		return w.post(t, fmt.Sprintf("again %d of %s", n, w.p.URL))
	})
}

// check reads the thread: what was taken is there once, and what was refused is not.
func (w *probes) check(t *testing.T) {
	t.Helper()
	found := map[string]bool{}
	for _, m := range w.client.all(t, w.p, w.thread) {
		text := m.text()
		if found[text] {
			t.Errorf("%.40s is there twice", text)
		}
		found[text] = true
		if code, ok := w.refused[text]; ok && code != "outcome_unknown" {
			t.Errorf("%.40s was refused as %s and is there", text, code)
		}
		if key, ok := w.taken[text]; ok && key != m.Key {
			t.Errorf("%.40s was taken as %s and is %s", text, key, m.Key)
		}
	}
	for text := range w.taken {
		if !found[text] {
			t.Errorf("%.40s was taken and is lost", text)
		}
	}
}

// TestReadOnlyFolder has a store's objects become unwritable under a server, and then
// the whole folder, without one.
func TestReadOnlyFolder(t *testing.T) {
	db := smallDisk(t, 64)
	p := start(t, db)
	w := &probes{client: newClient(t, "ada"), p: p, taken: map[string]string{}, refused: map[string]string{}, codes: map[string]int{}}
	w.thread = w.client.create(t, p, "read only")
	for i := range 20 {
		w.post(t, fmt.Sprint("before ", i))
	}
	unmount := readOnly(t, filepath.Join(db, "branches"))
	for i := range 20 {
		w.post(t, fmt.Sprint("read only ", i))
	}
	if w.codes["store_unwritable"] != 20 {
		t.Errorf("answers on a read-only folder: %v, want 20 that the store cannot be written", w.codes)
	}
	w.check(t)
	unmount()
	w.again(t)
	w.check(t)
	p.stop(t)

	readOnly(t, db)
	if v := verify(t, db); v.Messages != len(w.taken) {
		t.Errorf("verify counts %d messages, want %d", v.Messages, len(w.taken))
	}
	if out := succeed(t, "export", "--db", db); strings.Count(out, "\n") != 1 {
		t.Errorf("export from a read-only folder: %s, want one line", out)
	}
	succeed(t, "status", "--db", db, "--json")
	refused := run(t, "serve", "--db", db, "--addr", "127.0.0.1:0")
	if lines := strings.Count(refused.stderr, "\n"); refused.code == 0 || lines != 3 || !strings.Contains(refused.stderr, "read-only") {
		t.Errorf("serve of a read-only folder: exit code %d, want an error of three lines that says read-only\n%s", refused.code, refused.stderr)
	}
}

// readOnly makes a folder read-only for everybody, root too.
func readOnly(t *testing.T, dir string) (unmount func()) {
	t.Helper()
	unmount = mounted(t, dir, dir, "", syscall.MS_BIND, "")
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("make %s read-only: %v", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "test"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Fatalf("writing to %s: %v, want that it is read-only", dir, err)
	}
	return unmount
}
