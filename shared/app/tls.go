package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often the files of a certificate are looked at, at most.
const lookEvery = time.Second

// certificate is a server's certificate in two files. Handshakes read the files again
// after they changed, so that a new certificate needs no restart and connections that
// are open stay open.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu     sync.Mutex
	cert   *tls.Certificate
	seen   [2]os.FileInfo // of the files when they were read last, nil for one that was missing
	looked time.Time
}

// loadCertificate reads a certificate; one that cannot be used is an error only here,
// at the start.
func loadCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: now, looked: now()}
	c.seen = c.look()
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	c.cert = &cert
	return c, nil
}

// secureBy is how a server speaks with this configuration: nil for plain HTTP.
func secureBy(cfg *Config, log *slog.Logger) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	c, err := loadCertificate(cfg.TLSCert, cfg.TLSKey, log, time.Now)
	if err != nil {
		return nil, err
	}
	return c.config(), nil
}

// config is for a server of HTTP/2 and HTTP/1.1.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}
}

// get is the newest certificate that could be used. Files that cannot be used are
// logged once, and looked at again when they change again: of the two, one changes
// before the other.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.looked) < lookEvery {
		return c.cert
	}
	c.looked = now
	seen := c.look()
	if sameFiles(seen, c.seen) {
		return c.cert
	}
	c.seen = seen
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Warn("certificate was not reloaded; the one before it stays", slog.Any("cause", err))
		return c.cert
	}
	c.cert = &cert
	c.log.Info("certificate reloaded", slog.Time("not_after", cert.Leaf.NotAfter))
	return c.cert
}

func (c *certificate) look() (seen [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// sameFiles reports whether nothing changed. A file that was replaced by a rename or by
// moving a link is another file, whatever its times are.
func sameFiles(a, b [2]os.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil && b[i] == nil:
		case a[i] == nil || b[i] == nil, !os.SameFile(a[i], b[i]),
			!a[i].ModTime().Equal(b[i].ModTime()), a[i].Size() != b[i].Size():
			return false
		}
	}
	return true
}
