// Package server runs a real S3-protocol server, VersityGW on a folder, inside a
// process of ours. It is right about conditional writes under races, which the usual
// fakes are not, and it lives in a module of its own so that what it needs is not
// among what Bobbin needs.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// The server's only account, and its region.
const (
	AccessKey = "bobbin-test"
	SecretKey = "bobbin-test-secret"
	Region    = "us-east-1"
)

// starting is how long a server may take to answer first.
const starting = 10 * time.Second

// Server is a server that runs. Only one runs in a process at a time.
type Server struct {
	URL string

	cancel context.CancelFunc
	ended  chan error
}

// Start serves the buckets in dir, a folder on a file system with extended attributes.
// addr is host and port; port 0 takes a free one. The process's working folder becomes
// dir: the server's backend works so.
func Start(dir, addr string) (*Server, error) {
	addr, err := freeAddr(addr)
	if err != nil {
		return nil, err
	}
	backend, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{
		CopyObjectThreshold: 5 << 30,
		Concurrency:         256,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{URL: "http://" + addr, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		s.ended <- embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess:    AccessKey,
			RootUserSecret:    SecretKey,
			Region:            Region,
			Ports:             []string{addr},
			MaxConnections:    4096,
			MaxRequests:       4096,
			MultipartMaxParts: 10_000,
			KeepAlive:         true,
			Quiet:             true,
			HealthPath:        "/health",
		})
	}()
	if err := s.wait(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// freeAddr replaces port 0 by one that is free.
func freeAddr(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("find a port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// wait returns once the server answers.
func (s *Server) wait() error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(starting)
	for {
		if res, err := http.Get(s.URL + "/health"); err == nil {
			return res.Body.Close()
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("server ended at once: %w", err)
		case <-late:
			return fmt.Errorf("server did not answer in %s", starting)
		case <-tick.C:
		}
	}
}

// Stop ends the server and waits for it.
func (s *Server) Stop() error {
	s.cancel()
	return <-s.ended
}

// Config reaches the server's account.
func Config() aws.Config {
	return aws.Config{
		Region:      Region,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	}
}

// CreateBucket makes a bucket.
func (s *Server) CreateBucket(ctx context.Context, name string) error {
	client := s3.NewFromConfig(Config(), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String(s.URL), true
	})
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	return nil
}
