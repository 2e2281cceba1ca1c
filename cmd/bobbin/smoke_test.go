package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSmokeOfAnUnknownAuthority(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	exit, _, said := command(t.Context(), strings.NewReader(""), "smoke", "--url", server.URL, "--backend-key", "b", "--frontend-key", "f")
	if exit != exitUnreachable || !strings.Contains(said, "SSL_CERT_FILE") {
		t.Errorf("smoke ended with %d and said\n%swant %d and SSL_CERT_FILE", exit, said, exitUnreachable)
	}
}
