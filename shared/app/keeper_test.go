package app_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/bobbindb/bobbin/shared/seal/awskms/kmstest"
)

// withKMS is a KMS with a key, which this test's processes reach as every AWS tool does.
func withKMS(t *testing.T) (s *kmstest.Server, key string) {
	t.Helper()
	const region = "eu-west-1"
	s = kmstest.New(t)
	cfg := s.Config(region)
	made, err := kms.NewFromConfig(cfg).CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_REGION", region)
	t.Setenv("AWS_ACCESS_KEY_ID", credentials.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", credentials.SecretAccessKey)
	t.Setenv("AWS_ENDPOINT_URL_KMS", *cfg.BaseEndpoint)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	s.Fail(nil)
	return s, *made.KeyMetadata.Arn
}

const threadsPath = "/frontend/v1/threads"

// A store whose top key lies in KMS asks it twice when it is made, once at each start, and
// no more.
func TestKMSCalls(t *testing.T) {
	k, key := withKMS(t)
	dir := t.TempDir()
	for round := range 3 {
		s := startOnKMS(t, dir, key)
		for _, user := range []string{"ada", "bob", "ada"} {
			if status, _, text := s.call(t, "POST", threadsPath, `{"title":"one"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", user); status != http.StatusCreated {
				t.Fatalf("POST = %d %s", status, text)
			}
		}
		if status, _, text := s.call(t, "GET", "/readyz", ""); status != http.StatusOK {
			t.Errorf("readyz = %d %s", status, text)
		}
		s.stop(t)
		if wraps, unwraps := k.Calls("Encrypt"), k.Calls("Decrypt"); wraps != 1 || unwraps != 2+round {
			t.Errorf("%d wraps and %d unwraps after start %d, want 1 and %d", wraps, unwraps, round+1, 2+round)
		}
	}
}

// A server that starts while KMS is away serves what needs no key, says that it is not
// ready, and is ready as soon as KMS is back.
func TestKMSIsAway(t *testing.T) {
	k, key := withKMS(t)
	dir := t.TempDir()
	s := startOnKMS(t, dir, key)
	s.call(t, "POST", threadsPath, `{"title":"SECRET"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", "ada")
	s.stop(t)
	k.Fail(func(string, int) kmstest.Fault { return kmstest.Denied })
	s = startOnKMS(t, dir, key)
	for _, r := range []struct {
		method, path, user string
		status             int
	}{
		{"GET", "/readyz", "ada", 503},
		{"GET", "/healthz", "ada", 200},
		{"GET", threadsPath, "ada", 503},
		{"POST", threadsPath, "ada", 503},
		{"GET", threadsPath, "nobody", 200},
	} {
		status, _, text := s.call(t, r.method, r.path, `{"title":"x"}`, "X-API-Key", s.Keys.Backend, "X-User-ID", r.user)
		if status != r.status || strings.Contains(text, "SECRET") {
			t.Errorf("%s %s of %s = %d %s, want %d", r.method, r.path, r.user, status, text, r.status)
		}
	}
	k.Fail(nil)
	ready := func() bool {
		status, _, _ := s.call(t, "GET", "/readyz", "")
		return status == http.StatusOK
	}
	for !ready() { // within the second for which a Keeper that failed is left alone
		if t.Context().Err() != nil {
			t.Fatal("it is never ready")
		}
	}
	if status, _, text := s.call(t, "GET", threadsPath, "", "X-API-Key", s.Keys.Backend, "X-User-ID", "ada"); status != 200 || !strings.Contains(text, "SECRET") {
		t.Errorf("GET = %d %s, want the thread", status, text)
	}
	s.stop(t)
}

// startOnKMS serves a store in a folder whose top key lies in KMS.
func startOnKMS(t *testing.T, dir, key string) served {
	t.Helper()
	return start(t, "--db", dir, "--keeper", "awskms://"+key)
}

func (s served) stop(t *testing.T) {
	t.Helper()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
