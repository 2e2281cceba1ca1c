package s3_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/test/s3/server"
)

// binary is the program and the environment in which it finds a store on S3.
type binary struct {
	path string
	env  []string
}

const (
	backendKey  = "bk_0123456789abcdef0123456789abcdef"
	frontendKey = "fk_0123456789abcdef0123456789abcdef"
)

func build(t *testing.T, bucket string) binary {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bobbin")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/bobbin")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build = %v\n%s", err, out)
	}
	return binary{path: path, env: append(os.Environ(),
		"AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey, "AWS_EC2_METADATA_DISABLED=true",
		"BOBBIN_KEEPER=file://"+filepath.Join(t.TempDir(), "keeper.key"),
		"BOBBIN_BUCKET=s3://"+bucket+"/stores/one", "BOBBIN_S3_ENDPOINT="+gateway.URL, "BOBBIN_S3_PATH_STYLE=true",
		"BOBBIN_CACHE_DIR="+t.TempDir(),
		"BOBBIN_BACKEND_KEYS="+backendKey, "BOBBIN_FRONTEND_KEYS="+frontendKey,
		"BOBBIN_ADMIN_KEYS=ak_0123456789abcdef0123456789abcdef", "BOBBIN_SIGNING_KEYS=sk_0123456789abcdef0123456789abcdef",
	)}
}

// run runs a command to its end and returns what it printed as its result.
func (b binary) run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(b.path, args...)
	cmd.Env = b.env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("bobbin %v = %v\n%s%s", args, err, out.Bytes(), said.Bytes())
	}
	return out.Bytes()
}

// serve starts a server and returns its URL.
func (b binary) serve(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(b.path, "serve", "--addr", "127.0.0.1:0", "--json", "--quiet")
	cmd.Env = b.env
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	first := make(chan string, 1)
	go func() {
		var said struct {
			URL string `json:"url"`
		}
		_ = json.NewDecoder(out).Decode(&said)
		first <- said.URL
		_, _ = io.Copy(io.Discard, out)
	}()
	select {
	case url := <-first:
		if url == "" {
			t.Fatal("serve ended without saying where it listens")
		}
		return cmd, url
	case <-time.After(time.Minute):
		t.Fatal("serve did not say where it listens")
	}
	return nil, ""
}

// The program as an operator runs it: a store on S3 is made and served, killed, served
// again, stopped, and found whole.
func TestBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	const bucket = "binary"
	if err := gateway.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	b := build(t, bucket)
	smoke := func(url string) {
		t.Helper()
		b.run(t, "smoke", "--url", url, "--backend-key", backendKey, "--frontend-key", frontendKey)
	}

	b.run(t, "doctor")
	b.run(t, "init", "--partitions", "3")
	killed, url := b.serve(t)
	smoke(url)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // It says that it was killed.

	stopped, url := b.serve(t)
	smoke(url)
	if err := stopped.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Wait(); err != nil {
		t.Errorf("serve ended with %v after an interrupt, want no error", err)
	}

	var found struct {
		OK      bool `json:"ok"`
		Commits int  `json:"commits"`
	}
	if err := json.Unmarshal(b.run(t, "verify", "--json"), &found); err != nil {
		t.Fatal(err)
	}
	if !found.OK || found.Commits < 10 {
		t.Errorf("verify found %+v, want no damage and the commits of two smokes", found)
	}
}
