// Package s3_test runs what Bobbin says of a bucket against a real S3-protocol server.
package s3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/s3blob"
	"github.com/bobbindb/bobbin/test/s3/server"
)

// gateway is the one server of the tests; a process can run no second one.
var gateway *server.Server

// root is the project's folder, and scripts where the HTTP contract's conversations are.
// They are found before the server starts, which moves the process to another folder.
var root, scripts string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scripts = filepath.Join(root, "shared/httpapi/testdata")
	dir, err := os.MkdirTemp("", "bobbin-s3-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if gateway, err = server.Start(dir, "127.0.0.1:0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = gateway.Stop() }()
	return m.Run()
}

var buckets atomic.Int64

// newBucket makes a bucket that is empty.
func newBucket(t *testing.T, prefix string) *s3blob.Bucket {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	if err := gateway.CreateBucket(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return s3blob.Open(server.Config(), s3blob.Options{Bucket: name, Prefix: prefix, Endpoint: gateway.URL, PathStyle: true})
}

func TestContract(t *testing.T) {
	for name, prefix := range map[string]string{"whole bucket": "", "under a prefix": "stores/one"} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Bucket { return newBucket(t, prefix) }, blobtest.ContentTags)
		})
	}
}
