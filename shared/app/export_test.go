package app

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// LoadCertificate returns what a handshake asks for the certificate in two files.
func LoadCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (func() *tls.Certificate, error) {
	c, err := loadCertificate(certFile, keyFile, log, now)
	if err != nil {
		return nil, err
	}
	return c.get, nil
}
