// Command s3-server serves a folder as an S3-protocol endpoint until it is told to stop,
// for tests and for trying Bobbin on S3 without AWS. Its first line of output is one
// JSON object that says how to reach it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/bobbindb/bobbin/test/s3/server"
)

func main() {
	dir := flag.String("dir", "", "folder of the buckets; it is made when it is missing")
	addr := flag.String("addr", "127.0.0.1:0", "where to listen; port 0 takes a free one")
	bucket := flag.String("bucket", "bobbin", "bucket that is made when it is missing")
	flag.Parse()
	if err := run(*dir, *addr, *bucket); err != nil {
		fmt.Fprintln(os.Stderr, "s3-server:", err)
		os.Exit(1)
	}
}

func run(dir, addr, bucket string) error {
	if dir == "" || flag.NArg() > 0 {
		return errors.New("usage: s3-server --dir DIR [--addr HOST:PORT] [--bucket NAME]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	out := os.Stdout
	os.Stdout = os.Stderr // The server greets; our first line must be ours.
	s, err := server.Start(dir, addr)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, bucket)); errors.Is(err, os.ErrNotExist) {
		if err := s.CreateBucket(ctx, bucket); err != nil {
			return errors.Join(err, s.Stop())
		}
	}
	err = json.NewEncoder(out).Encode(map[string]string{
		"endpoint": s.URL, "bucket": bucket, "region": server.Region,
		"access_key": server.AccessKey, "secret_key": server.SecretKey,
	})
	if err != nil {
		return errors.Join(err, s.Stop())
	}
	<-ctx.Done()
	return s.Stop()
}
