//go:build linux

package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	offlineTarget  = 20_000 // messages a second
	urlTarget      = 8_000
	realSizeTarget = 200 // bytes of tables for one real message
)

// runImports imports the real conversations into a folder and through a server.
func (b *bench) runImports(ctx context.Context) error {
	if b.options.data == "" {
		b.note("import: not measured, give --data FILE")
		return nil
	}
	count, err := countMessages(b.options.data)
	if err != nil {
		return err
	}
	if err := b.importOffline(ctx, count); err != nil {
		return err
	}
	return b.importByURL(ctx, count)
}

func (b *bench) importOffline(ctx context.Context, count int) error {
	store, err := b.newImportStore("import-offline")
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := store.command(ctx, "import", "--db", store.dir, b.options.data); err != nil {
		return err
	}
	b.addImportRow("import offline", count, time.Since(began), offlineTarget)
	return b.addRealSizeRow(ctx, store, "import offline", count)
}

func (b *bench) importByURL(ctx context.Context, count int) (err error) {
	store, err := b.newImportStore("import-url")
	if err != nil {
		return err
	}
	if _, err := startAndAwait(ctx, store, thread{}); err != nil {
		return err
	}
	defer func() { err = closeAll([]server{store}, err) }()
	at := store.endpoint()
	began := time.Now()
	if _, err := store.command(ctx, "import", "--url", "http://"+at.addr, "--admin-key", at.adminKey, b.options.data); err != nil {
		return err
	}
	b.addImportRow("import through POST /admin/import", count, time.Since(began), urlTarget)
	if err := store.settle(ctx); err != nil {
		return err
	}
	if err := store.stop(); err != nil {
		return err
	}
	return b.addRealSizeRow(ctx, store, "import through POST /admin/import", count)
}

func (b *bench) newImportStore(purpose string) (*bobbin, error) {
	dir := filepath.Join(b.dir, purpose)
	return newBobbin(b.options, dir), os.MkdirAll(dir, 0o755)
}

func (b *bench) addImportRow(scenario string, count int, took time.Duration, wanted float64) {
	rate := float64(count) / took.Seconds()
	progress("%s: %s messages in %s", scenario, thousands(int64(count)), short(took))
	b.rows = append(b.rows, row{scenario: fmt.Sprintf("%s, %s messages", scenario, thousands(int64(count))),
		rate: perSecond(rate), target: target{rate: wanted}.String(), met: verdictIf(rate >= wanted)})
}

func (b *bench) addRealSizeRow(ctx context.Context, store *bobbin, scenario string, count int) error {
	tables, err := b.tableBytes(ctx, store)
	if err != nil {
		return err
	}
	each := float64(tables) / float64(count)
	b.rows = append(b.rows, row{scenario: "tables a real message, " + scenario, rate: fmt.Sprintf("%.0f B", each),
		target: fmt.Sprintf("≤ %d B", realSizeTarget), met: verdictIf(each <= realSizeTarget)})
	return nil
}

// countMessages reads conversations and counts their messages.
func countMessages(path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var text io.Reader = bufio.NewReader(file)
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(text); err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
	}
	decoder := json.NewDecoder(text)
	for count := 0; ; {
		var line struct{ Messages []json.RawMessage }
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
		count += len(line.Messages)
	}
}
