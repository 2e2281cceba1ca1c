package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
)

// pair is a certificate that signs itself, in PEM.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "bobbin"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// replace gives a file other content as deployments do: whole, by a rename.
func replace(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func trusting(pairs ...pair) *tls.Config {
	roots := x509.NewCertPool()
	for _, p := range pairs {
		roots.AppendCertsFromPEM(p.cert)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func TestHTTPS(t *testing.T) {
	dir, first, second := t.TempDir(), newPair(t, 1), newPair(t, 2)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	replace(t, certFile, first.cert)
	replace(t, keyFile, first.key)
	s := serve(t, "--tls-cert", certFile, "--tls-key", keyFile, "--metrics-addr", "127.0.0.1:0")
	if !strings.HasPrefix(s.URL, "https://127.0.0.1:") {
		t.Fatalf("URL %s, want https", s.URL)
	}
	transport := &http.Transport{TLSClientConfig: trusting(first, second), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	get := func() *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); err != nil || strings.TrimSpace(string(text)) != `{"status":"ok"}` {
			t.Fatalf("%s, %v", text, err)
		}
		return answer
	}
	if answer := get(); answer.ProtoMajor != 2 || answer.TLS.Version < tls.VersionTLS12 {
		t.Errorf("HTTP/%d over TLS %x, want HTTP/2 over 1.2 or more", answer.ProtoMajor, answer.TLS.Version)
	}

	replace(t, keyFile, second.key)
	replace(t, certFile, second.cert)
	serial := func() int64 {
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), trusting(first, second))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	for began := time.Now(); serial() != 2; { // each waits for a handshake
		if time.Since(began) > 20*time.Second {
			t.Fatal("the new certificate is not used")
		}
	}
	// A connection that is open stays: the transport's is from before.
	if got := get().TLS.PeerCertificates[0].SerialNumber.Int64(); got != 1 {
		t.Errorf("the open connection has certificate %d, want the first", got)
	}

	old := trusting(first, second)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
	metrics, err := http.Get(s.MetricsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	if text, err := io.ReadAll(metrics.Body); err != nil || metrics.StatusCode != 200 || !strings.Contains(string(text), "bobbin_open_replicas 1") {
		t.Errorf("metrics: %d, %v", metrics.StatusCode, err)
	}
	plain, err := http.Get("http" + strings.TrimPrefix(s.URL, "https") + "/healthz")
	if err == nil {
		defer plain.Body.Close()
		if plain.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP: %d, want 400", plain.StatusCode)
		}
	}
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestCertificateReload(t *testing.T) {
	dir, first, second := t.TempDir(), newPair(t, 1), newPair(t, 2)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	replace(t, certFile, first.cert)
	replace(t, keyFile, first.key)
	var log lines
	now := time.Now()
	get, err := app.LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	expect := func(step string, serial int64, logged string) {
		t.Helper()
		if got := get().Leaf.SerialNumber.Int64(); got != serial {
			t.Errorf("%s: certificate %d, want %d", step, got, serial)
		}
		if got := log.String(); strings.Count(got, "\n") != strings.Count(logged, ",") || !strings.Contains(got, strings.TrimSuffix(logged, ",")) {
			t.Errorf("%s: log is %q, want %d lines with %q", step, got, strings.Count(logged, ","), logged)
		}
		log.mu.Lock()
		log.b.Reset()
		log.mu.Unlock()
	}
	expect("as loaded", 1, "")
	replace(t, certFile, second.cert)
	expect("looked at too soon", 1, "")
	now = now.Add(2 * time.Second)
	expect("the key of another", 1, "not reloaded,")
	now = now.Add(2 * time.Second)
	expect("nothing new", 1, "")
	replace(t, keyFile, second.key)
	now = now.Add(2 * time.Second)
	expect("both new", 2, "certificate reloaded,")
	replace(t, certFile, []byte("no certificate"))
	now = now.Add(2 * time.Second)
	expect("broken", 2, "not reloaded,")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	expect("gone", 2, "not reloaded,")
	now = now.Add(2 * time.Second)
	expect("still gone", 2, "")
	replace(t, certFile, first.cert)
	replace(t, keyFile, first.key)
	now = now.Add(2 * time.Second)
	expect("the first again", 1, "certificate reloaded,")
}

func TestUnusableCertificate(t *testing.T) {
	dir := t.TempDir()
	p := newPair(t, 1)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	replace(t, certFile, p.cert)
	replace(t, keyFile, newPair(t, 2).key)
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	app.AddFlags(set, app.StoreOptions, app.ServeOptions, app.TuningOptions)
	if err := set.Parse([]string{"--db", filepath.Join(dir, "db"), "--addr", "127.0.0.1:0", "--tls-cert", certFile}); err != nil {
		t.Fatal(err)
	}
	none := func(string) (string, bool) { return "", false }
	if _, err := app.Load(set, none); err == nil || !strings.Contains(err.Error(), "one goes with the other") {
		t.Errorf("a certificate without a key: %v", err)
	}
	if err := set.Set("tls-key", keyFile); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.Load(set, none)
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		s.Stop(context.WithoutCancel(t.Context()))
	}
	if err == nil || !strings.Contains(err.Error(), "read certificate") {
		t.Errorf("the key of another certificate: %v", err)
	}
}
