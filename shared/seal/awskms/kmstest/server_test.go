package kmstest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// watched is a test whose errors are counted instead of failing it.
type watched struct {
	testing.TB
	errors  int
	cleanup func()
}

func (w *watched) Errorf(string, ...any) { w.errors++ }
func (w *watched) Cleanup(f func())      { w.cleanup = f }

// TestStrict sends what KMS would not take. The server refuses it and fails its test.
func TestStrict(t *testing.T) {
	other := func(cfg aws.Config) aws.Config {
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: credentials.AccessKeyID, SecretAccessKey: "another secret"}, nil
		})
		return cfg
	}
	raw := func(method, path, kind string) func(*testing.T, *Server) error {
		return func(t *testing.T, s *Server) error {
			r, err := http.NewRequestWithContext(t.Context(), method, *s.Config("eu-west-1").BaseEndpoint+path, strings.NewReader("{}"))
			if err != nil {
				return err
			}
			r.Header.Set("Content-Type", kind)
			r.Header.Set("X-Amz-Target", "TrentService.CreateKey")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
	}
	for name, send := range map[string]func(*testing.T, *Server) error{
		"signed with another secret": func(t *testing.T, s *Server) error {
			_, err := kms.NewFromConfig(other(s.Config("eu-west-1")), func(o *kms.Options) { o.RetryMaxAttempts = 1 }).CreateKey(t.Context(), &kms.CreateKeyInput{})
			return err
		},
		"unsigned":         raw(http.MethodPost, "/", contentType),
		"no POST":          raw(http.MethodGet, "/", contentType),
		"another path":     raw(http.MethodPost, "/keys", contentType),
		"another protocol": raw(http.MethodPost, "/", "application/json"),
	} {
		t.Run(name, func(t *testing.T) {
			w := &watched{TB: t}
			s := New(w)
			if err := send(t, s); err == nil {
				t.Error("the server took it")
			}
			w.cleanup()
			if w.errors != 1 {
				t.Errorf("the server complained %d times, want once", w.errors)
			}
		})
	}
	if _, failed := (&Server{}).do("eu-west-1", "Decrypt", []byte(`{"KeyID":"x","Extra":1}`)); failed == nil || failed.Type != "SerializationException" {
		t.Errorf("do() with a field that nobody knows = %v", failed)
	}
}
