package s3_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/test/docs"
	"github.com/bobbindb/bobbin/test/s3/server"
)

// What docs/s3.md says of services other than Amazon's is so with this one.
func TestDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	const bucket = "document"
	if err := gateway.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	b := build(t, bucket)
	text, err := os.ReadFile(filepath.Join(root, "docs", "s3.md"))
	if err != nil {
		t.Fatal(err)
	}
	const mark = "<!-- not run: needs an S3-protocol service -->\n"
	if n := strings.Count(string(text), mark); n != 3 {
		t.Fatalf("%d blocks of docs/s3.md are left to this test, want 3", n)
	}
	page, err := docs.Parse("```sh\nbobbin init --db data\n```\n" + strings.NewReplacer(
		mark, "", "my-bucket", bucket, "https://s3.example.net", gateway.URL,
		"AWS_ACCESS_KEY_ID=...", "AWS_ACCESS_KEY_ID="+server.AccessKey,
		"AWS_SECRET_ACCESS_KEY=...", "AWS_SECRET_ACCESS_KEY="+server.SecretKey,
	).Replace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err = docs.Run(ctx, page, docs.Setting{Dir: t.TempDir(), Scratch: t.TempDir(), Env: []string{
		"HOME=" + t.TempDir(), "PATH=" + filepath.Dir(b.path) + ":" + os.Getenv("PATH"), "BOBBIN_CACHE_DIR=" + t.TempDir(),
	}})
	if err != nil {
		t.Errorf("docs/s3.md, three lines further down:\n%v", err)
	}
}
