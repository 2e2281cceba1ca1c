// Package kmstest is AWS KMS as far as Bobbin and its tests talk to it: JSON 1.1 over
// HTTP, on loopback. It is strict where KMS is, in signatures, targets, fields, key
// states and encryption contexts, and fails on cue.
package kmstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Fault is what befalls a call.
type Fault int

// Faults of a call. In all but None and LostReply nothing was done.
const (
	None          Fault = iota
	LostReply           // done, and the connection ends without an answer
	Reset               // the connection ends without an answer
	Hang                // no answer comes while the caller waits
	Throttled           // 400 ThrottlingException
	Internal            // 500 KMSInternalException
	Dependency          // 500 DependencyTimeoutException
	NoKey               // 500 KeyUnavailableException
	Unavailable         // 503 from whatever stands before KMS, with no JSON
	Garbage             // 200 with what is no answer
	Empty               // 200 with an answer that says nothing
	Denied              // 400 AccessDeniedException
	UnknownClient       // 400 UnrecognizedClientException
)

// credentials are those that the server knows.
var credentials = aws.Credentials{AccessKeyID: "AKIDBOBBIN", SecretAccessKey: "a secret for tests"}

// account is whose keys they are.
const account = "111122223333"

// Server is a KMS of several Regions.
type Server struct {
	http *httptest.Server

	mu      sync.Mutex
	decide  func(operation string, n int) Fault
	calls   map[string]int
	keys    map[string]*key   // by Region and id
	aliases map[string]string // id by Region and alias
	left    chan struct{}     // ends with the server
	errs    []string          // what a caller did that KMS would not take
}

// New starts a server, which ends with the test. A request that no SDK would send fails
// the test.
func New(t testing.TB) *Server {
	s := &Server{calls: map[string]int{}, keys: map[string]*key{}, aliases: map[string]string{}, left: make(chan struct{})}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		close(s.left)
		s.http.Close()
		for _, wrong := range s.errs {
			t.Errorf("KMS was sent a request that it does not take: %s", wrong)
		}
	})
	return s
}

// Config is what a client in a Region needs.
func (s *Server) Config(region string) aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(s.http.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return credentials, nil
		}),
	}
}

// Fail makes decide say what befalls the calls that begin from now on; n counts those of
// the operation, from 1.
func (s *Server) Fail(decide func(operation string, n int) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide, s.calls = decide, map[string]int{}
}

// Calls is how many requests for an operation came since the last Fail, tries included.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

func (s *Server) fate(operation string) Fault {
	s.mu.Lock()
	s.calls[operation]++
	n, decide := s.calls[operation], s.decide
	s.mu.Unlock()
	if decide == nil {
		return None
	}
	return decide(operation, n)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // The caller left.
	}
	region, err := check(r, body)
	if err != nil {
		s.mu.Lock()
		s.errs = append(s.errs, err.Error())
		s.mu.Unlock()
		answer(w, http.StatusBadRequest, &failure{"IncompleteSignatureException", err.Error()})
		return
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	switch s.fate(operation) {
	case LostReply:
		_, _ = s.do(region, operation, body)
		panic(http.ErrAbortHandler)
	case Reset:
		panic(http.ErrAbortHandler)
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.left:
		}
		panic(http.ErrAbortHandler)
	case Throttled:
		answer(w, http.StatusBadRequest, &failure{"ThrottlingException", "Rate exceeded"})
	case Internal:
		answer(w, http.StatusInternalServerError, &failure{"KMSInternalException", "internal"})
	case Dependency:
		answer(w, http.StatusInternalServerError, &failure{"DependencyTimeoutException", "timed out"})
	case NoKey:
		answer(w, http.StatusInternalServerError, &failure{"KeyUnavailableException", "the key is not available"})
	case Unavailable:
		http.Error(w, "<html>busy</html>", http.StatusServiceUnavailable)
	case Garbage:
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, "<html>")
	case Empty:
		answer(w, http.StatusOK, struct{}{})
	case Denied:
		answer(w, http.StatusBadRequest, &failure{"AccessDeniedException", "User is not authorized to perform: kms:" + operation})
	case UnknownClient:
		answer(w, http.StatusBadRequest, &failure{"UnrecognizedClientException", "The security token included in the request is invalid."})
	case None:
		out, err := s.do(region, operation, body)
		if err != nil {
			answer(w, http.StatusBadRequest, err)
			return
		}
		answer(w, http.StatusOK, out)
	}
}

// contentType is that of requests and answers.
const contentType = "application/x-amz-json-1.1"

// failure is an error as KMS answers it.
type failure struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-0000-0000-000000000000")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // to a caller who may have left
}

// check refuses what is no signed request to KMS, and returns its Region.
func check(r *http.Request, body []byte) (region string, err error) {
	target := r.Header.Get("X-Amz-Target")
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "":
		return "", fmt.Errorf("%s %s", r.Method, r.URL)
	case r.Header.Get("Content-Type") != contentType:
		return "", fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	case !strings.HasPrefix(target, "TrentService."):
		return "", fmt.Errorf("target %q", target)
	}
	return checkSignature(r, body)
}

// checkSignature signs the request again and compares.
func checkSignature(r *http.Request, body []byte) (region string, err error) {
	given := r.Header.Get("Authorization")
	fields, ok := strings.CutPrefix(given, "AWS4-HMAC-SHA256 Credential="+credentials.AccessKeyID+"/")
	if !ok {
		return "", fmt.Errorf("authorization %q", given)
	}
	scope, fields, _ := strings.Cut(fields, ", SignedHeaders=")
	signed, _, _ := strings.Cut(fields, ", Signature=")
	parts := strings.Split(scope, "/")
	if len(parts) != 4 || parts[2] != "kms" || parts[3] != "aws4_request" {
		return "", fmt.Errorf("credential scope %q", scope)
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	if skew := time.Since(at).Abs(); skew > 5*time.Minute {
		return "", fmt.Errorf("signed %s ago", skew)
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+"/", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	for _, name := range strings.Split(signed, ";") {
		if name != "host" && name != "content-length" {
			again.Header.Set(name, r.Header.Get(name))
		}
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, again, hex.EncodeToString(sum[:]), "kms", parts[1], at); err != nil {
		return "", err
	}
	if again.Header.Get("Authorization") != given {
		return "", errors.New("the signature is another one")
	}
	return parts[1], nil
}
