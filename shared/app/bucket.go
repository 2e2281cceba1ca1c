package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/s3blob"
)

// openBucket opens the bucket that the configuration names. The function returned closes
// it.
func openBucket(ctx context.Context, cfg Config) (blob.Bucket, func() error, error) {
	if dir := cfg.folder(); dir != "" {
		b, err := fileblob.Open(dir, fileblob.Options{})
		if err != nil {
			return nil, nil, fmt.Errorf("open bucket: %w", err)
		}
		return b, b.Close, nil
	}
	b, err := openS3(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("open bucket %s: %w", cfg.Bucket, err)
	}
	return b, func() error { return nil }, nil
}

// finding is how long it may take to find credentials, where a machine's own are asked
// for over its network.
const finding = 10 * time.Second

// ErrNoCredentials: nothing says as whom to reach S3.
var ErrNoCredentials = errors.New("no AWS credentials were found")

// openS3 reaches S3, and finds out at once whether there is somebody to be.
func openS3(ctx context.Context, cfg Config) (*s3blob.Bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, finding)
	defer cancel()
	found, err := readAWS(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := found.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCredentials, err)
	}
	name, prefix, _ := strings.Cut(strings.TrimPrefix(cfg.Bucket, s3Scheme), "/")
	return s3blob.Open(found, s3blob.Options{Bucket: name, Prefix: prefix, Endpoint: cfg.S3Endpoint, PathStyle: cfg.S3Path}), nil
}

// readAWS reads what every AWS tool reads: region and credentials come from the
// environment, the shared configuration files or the machine's own role.
func readAWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{})) // it talks to standard error
	if err != nil {
		return cfg, fmt.Errorf("read the AWS configuration: %w", err)
	}
	cfg.Region = cmp.Or(cfg.Region, defaultRegion)
	return cfg, nil
}

// defaultRegion is what a service without regions is signed for.
const defaultRegion = "us-east-1"

// partitions is how many a store gets that is made now.
func (c *Config) partitions() int {
	usual := 1
	if c.folder() == "" {
		usual = 16
	}
	return cmp.Or(c.Partitions, usual)
}
