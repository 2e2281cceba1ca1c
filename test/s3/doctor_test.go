package s3_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/s3blob"
	"github.com/bobbindb/bobbin/shared/doctor"
	"github.com/bobbindb/bobbin/test/s3/server"
)

func TestDoctor(t *testing.T) {
	b := newBucket(t, "stores/one")
	checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b, b}, Prefix: "doctor/one"})
	for _, f := range checks {
		if f.Verdict != doctor.OK {
			t.Errorf("%s: %s, %s", f.Check, f.Verdict, f.Seen)
		}
	}
	page, err := b.List(t.Context(), blob.ListOptions{})
	if err != nil || len(page.Entries) > 0 {
		t.Errorf("%d objects were left, %v", len(page.Entries), err)
	}
}

// A wrong secret is a missing permission, and no lie of the bucket's.
func TestDoctorIsDenied(t *testing.T) {
	newBucket(t, "")
	stranger := server.Config()
	stranger.Credentials = credentials.NewStaticCredentialsProvider(server.AccessKey, "another", "")
	b := s3blob.Open(stranger, s3blob.Options{Bucket: fmt.Sprintf("bucket-%d", buckets.Load()), Endpoint: gateway.URL, PathStyle: true})
	err := doctor.Err(doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b}, Prefix: "doctor/one", Brief: true}))
	if !errors.Is(err, blob.ErrDenied) || errors.Is(err, doctor.ErrBroken) {
		t.Errorf("Err() = %v, want ErrDenied", err)
	}
}
