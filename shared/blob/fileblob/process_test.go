package fileblob

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// With these in its environment the test binary is one of several processes on one
// folder.
const (
	childJob    = "FILEBLOB_TEST_JOB"
	childFolder = "FILEBLOB_TEST_FOLDER"
	childName   = "FILEBLOB_TEST_NAME"
)

const (
	children    = 4
	racedKeys   = 40
	addsByChild = 15
)

func TestMain(m *testing.M) {
	job := os.Getenv(childJob)
	if job == "" {
		os.Exit(m.Run())
	}
	if err := runChild(job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runChild does a job once its parent has closed its input. What it has done it
// writes to its output.
func runChild(job string) error {
	b, err := Open(os.Getenv(childFolder), Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println("ready")
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	return map[string]func(context.Context, *Bucket, string) error{
		"create": createChild, "swap": swapChild, "write": writeChild,
	}[job](context.Background(), b, os.Getenv(childName))
}

// createChild creates keys that its twins create too, and writes those that it won.
func createChild(ctx context.Context, b *Bucket, name string) error {
	for i := range racedKeys {
		key := racedKey(i)
		switch _, err := b.Put(ctx, key, []byte(name), blob.IfAbsent()); {
		case err == nil:
			fmt.Println(key)
		case !errors.Is(err, blob.ErrExists):
			return err
		}
		if _, err := b.Get(ctx, key); err != nil {
			return err // Whoever won, it is there.
		}
	}
	return nil
}

func racedKey(i int) string { return fmt.Sprintf("race/%d/%d", i/10, i) }

// swapChild adds its name to an object that its twins add to.
func swapChild(ctx context.Context, b *Bucket, name string) error {
	for n := 0; n < addsByChild; {
		old, err := b.Get(ctx, "names")
		if err != nil {
			return err
		}
		switch _, err := b.Put(ctx, "names", append(old.Body, name...), blob.IfMatch(old.ETag)); {
		case err == nil:
			n++
		case !errors.Is(err, blob.ErrExists):
			return err
		}
	}
	return nil
}

// writeChild creates objects and swaps one, until it is killed.
func writeChild(ctx context.Context, b *Bucket, name string) error {
	tag := blob.ETag("")
	for i := 0; ; i++ {
		when := blob.IfMatch(tag)
		if i == 0 {
			when = blob.IfAbsent()
		}
		if _, err := b.Put(ctx, writtenKey(name, i), writtenBody(i), blob.IfAbsent()); err != nil {
			return err
		}
		info, err := b.Put(ctx, "newest-"+name, writtenBody(i), when)
		if err != nil {
			return err
		}
		tag = info.ETag
		fmt.Println(i)
	}
}

func writtenKey(name string, i int) string { return fmt.Sprintf("log-%s/%020d", name, i) }

// writtenBody is a body that tells its number, and whether it is whole.
func writtenBody(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("%08d", i), 2000)) }

func TestProcessesRaceToCreate(t *testing.T) {
	dir := t.TempDir()
	winner := map[string]string{}
	for name, won := range runChildren(t, "create", dir) {
		for _, key := range won {
			if winner[key] != "" {
				t.Errorf("%s was created by %s and by %s", key, winner[key], name)
			}
			winner[key] = name
		}
	}
	b := open(t, dir)
	for i := range racedKeys {
		wantObject(t, b, racedKey(i), winner[racedKey(i)])
	}
	if got := temps(t, dir); len(got) != 0 {
		t.Errorf("temp files left = %q, want none", got)
	}
}

func TestProcessesRaceToSwap(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	tag := put(t, b, "names", "", blob.IfAbsent()).ETag
	names := runChildren(t, "swap", dir)
	if b.Unchanged("names", tag) {
		t.Error("Unchanged() = true after other processes swapped, want false")
	}
	got := mustGet(t, b, "names")
	for name := range names {
		if n := strings.Count(string(got.Body), name); n != addsByChild {
			t.Errorf("%s is there %d times, want %d", name, n, addsByChild)
		}
	}
	if left := temps(t, dir); len(left) != 0 {
		t.Errorf("temp files left = %q, want none", left)
	}
}

func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		child := startChild(t, "write", dir, name)
		child.begin(t)
		done := -1
		for range 20 {
			done = child.number(t)
		}
		if err := child.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for child.lines.Scan() {
			done++ // It went on until the signal came.
		}
		_ = child.cmd.Wait() // It was killed.
		wantWritten(t, dir, name, done)
	}
	b := openAt(t, dir, func() time.Time { return time.Now().Add(2 * staleAfter) })
	if got := temps(t, dir); len(got) != 0 {
		t.Errorf("temp files left two hours later = %q, want none", got)
	}
	put(t, b, "k", "text", blob.IfAbsent())
}

// wantWritten wants everything up to what was told to be done, at most one more, and
// nothing in part.
func wantWritten(t *testing.T, dir, name string, done int) {
	t.Helper()
	b := open(t, dir)
	page, err := b.List(t.Context(), blob.ListOptions{Prefix: "log-" + name + "/"})
	if err != nil {
		t.Fatalf("List() = %v", err)
	}
	if n := len(page.Entries); n < done+1 || n > done+2 {
		t.Errorf("%d objects are there after %d Puts were answered, want as many or one more", n, done+1)
	}
	for i := range page.Entries {
		wantObject(t, b, writtenKey(name, i), string(writtenBody(i)))
	}
	newest := mustGet(t, b, "newest-"+name)
	if string(newest.Body) != string(writtenBody(done)) && string(newest.Body) != string(writtenBody(done+1)) {
		t.Errorf("the swapped object is %.8q (%d bytes), want number %d or %d", newest.Body, len(newest.Body), done, done+1)
	}
	put(t, b, "newest-"+name, "text", blob.IfMatch(newest.ETag)) // Its lock died with it.
}

// child is a process at work on the folder.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

// runChildren runs several processes at once, and returns by name what each wrote.
func runChildren(t *testing.T, job, dir string) map[string][]string {
	t.Helper()
	running := map[string]*child{}
	for i := range children {
		name := fmt.Sprintf("<child %d>", i)
		running[name] = startChild(t, job, dir, name)
	}
	for _, c := range running {
		c.begin(t)
	}
	wrote := map[string][]string{}
	for name, c := range running {
		wrote[name] = []string{}
		for c.lines.Scan() {
			wrote[name] = append(wrote[name], c.lines.Text())
		}
		if err := c.cmd.Wait(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return wrote
}

// startChild starts a process and waits until it has opened the folder.
func startChild(t *testing.T, job, dir, name string) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childJob+"="+job, childFolder+"="+dir, childName+"="+name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	if !c.lines.Scan() || c.lines.Text() != "ready" {
		t.Fatalf("%s wrote %q, want ready", name, c.lines.Text())
	}
	return c
}

// begin lets the process begin.
func (c *child) begin(t *testing.T) {
	t.Helper()
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
}

// number reads a number that the process writes.
func (c *child) number(t *testing.T) (n int) {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatal("the process ended")
	}
	if _, err := fmt.Sscan(c.lines.Text(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
