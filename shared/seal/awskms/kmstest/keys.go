package kmstest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bobbindb/bobbin/shared/seal"
)

// key is a KMS key in one Region.
type key struct {
	id       string
	region   string
	state    string // as KMS calls it
	material *material
}

// material is what a key and its replicas share: one secret for each rotation.
type material struct{ secrets []*seal.Key }

const (
	enabled  = "Enabled"
	disabled = "Disabled"
	pending  = "PendingDeletion"
)

func (k *key) arn() string { return fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", k.region, account, k.id) }

// metadata is what KMS tells of a key.
func (k *key) metadata() map[string]any {
	return map[string]any{
		"Arn": k.arn(), "KeyId": k.id, "AWSAccountId": account, "Enabled": k.state == enabled, "KeyState": k.state,
		"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "MultiRegion": strings.HasPrefix(k.id, "mrk-"),
	}
}

// request has the fields of all requests. Which of them an operation takes its name says.
type request struct {
	KeyId                        string
	Plaintext                    []byte
	CiphertextBlob               []byte
	EncryptionContext            map[string]string
	EncryptionAlgorithm          string
	KeySpec                      string
	NumberOfBytes                int
	AliasName                    string
	TargetKeyId                  string
	MultiRegion                  bool
	ReplicaRegion                string
	PendingWindowInDays          int
	SourceKeyId                  string
	DestinationKeyId             string
	SourceEncryptionContext      map[string]string
	DestinationEncryptionContext map[string]string
}

// do does an operation, or says why KMS would not.
func (s *Server) do(region, operation string, body []byte) (any, *failure) {
	var in request
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return nil, &failure{"SerializationException", err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch operation {
	case "CreateKey":
		k := s.newKey(region, in.MultiRegion)
		return map[string]any{"KeyMetadata": k.metadata()}, nil
	case "CreateAlias", "UpdateAlias":
		return s.alias(region, operation, in)
	case "Decrypt":
		return s.decrypt(region, in)
	case "ReEncrypt":
		return s.reencrypt(region, in)
	}
	k, failed := s.find(region, in.KeyId)
	if failed != nil {
		return nil, failed
	}
	switch operation {
	case "DescribeKey":
		return map[string]any{"KeyMetadata": k.metadata()}, nil
	case "Encrypt":
		return s.encrypt(k, in)
	case "GenerateDataKey":
		return generate(k, in)
	case "ReplicateKey":
		return s.replicate(k, in)
	case "RotateKeyOnDemand":
		k.material.rotate()
		return map[string]any{"KeyId": k.id}, nil
	case "EnableKey":
		k.state = enabled
		return struct{}{}, nil
	case "DisableKey":
		k.state = disabled
		return struct{}{}, nil
	case "ScheduleKeyDeletion":
		k.state = pending
		return map[string]any{"KeyId": k.arn(), "KeyState": pending, "PendingWindowInDays": in.PendingWindowInDays}, nil
	}
	return nil, &failure{"UnknownOperationException", operation}
}

func (s *Server) newKey(region string, multi bool) *key {
	id := seal.KeyID(seal.RandomBytes(16)).String()
	if multi {
		id = "mrk-" + id
	} else {
		id = strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
	}
	k := &key{id: id, region: region, state: enabled, material: &material{}}
	k.material.rotate()
	s.keys[region+"/"+id] = k
	return k
}

func (m *material) rotate() {
	secret, err := seal.NewKey(seal.RandomBytes(seal.KeySize))
	if err != nil {
		panic(err) // The size is right.
	}
	m.secrets = append(m.secrets, secret)
}

func (s *Server) replicate(k *key, in request) (any, *failure) {
	if !strings.HasPrefix(k.id, "mrk-") {
		return nil, &failure{"UnsupportedOperationException", k.arn() + " is not a multi-region key"}
	}
	replica := &key{id: k.id, region: in.ReplicaRegion, state: enabled, material: k.material}
	s.keys[replica.region+"/"+replica.id] = replica
	return map[string]any{"ReplicaKeyMetadata": replica.metadata()}, nil
}

func (s *Server) alias(region, operation string, in request) (any, *failure) {
	k, failed := s.find(region, in.TargetKeyId)
	if failed != nil {
		return nil, failed
	}
	name := region + "/" + in.AliasName
	_, there := s.aliases[name]
	switch {
	case !strings.HasPrefix(in.AliasName, "alias/"):
		return nil, &failure{"ValidationException", "alias " + in.AliasName}
	case there && operation == "CreateAlias":
		return nil, &failure{"AlreadyExistsException", "An alias with the name " + in.AliasName + " already exists"}
	case !there && operation == "UpdateAlias":
		return nil, &failure{"NotFoundException", "Alias " + in.AliasName + " is not found."}
	}
	s.aliases[name] = k.id
	return struct{}{}, nil
}

// find is the key that a key id, alias or ARN of either names in a Region.
func (s *Server) find(region, name string) (*key, *failure) {
	id := name
	if rest, ok := strings.CutPrefix(name, "arn:aws:kms:"); ok {
		prefix := region + ":" + account + ":"
		if id, ok = strings.CutPrefix(rest, prefix); !ok {
			return nil, &failure{"NotFoundException", "Invalid arn " + name}
		}
		id = strings.TrimPrefix(id, "key/")
	}
	if strings.HasPrefix(id, "alias/") {
		target, ok := s.aliases[region+"/"+id]
		if !ok {
			return nil, &failure{"NotFoundException", "Alias " + name + " is not found."}
		}
		id = target
	}
	k, ok := s.keys[region+"/"+id]
	if !ok {
		return nil, &failure{"NotFoundException", "Key '" + name + "' does not exist"}
	}
	return k, nil
}

// usable refuses a key that may not be used.
func (k *key) usable() *failure {
	switch k.state {
	case disabled:
		return &failure{"DisabledException", k.arn() + " is disabled."}
	case pending:
		return &failure{"KMSInvalidStateException", k.arn() + " is pending deletion."}
	}
	return nil
}

// blobMark begins a ciphertext.
var blobMark = []byte{1, 2, 2, 0}

// close is a ciphertext: a mark, the key's id behind its length, which rotation it was
// and a box.
func (k *key) close(plaintext []byte, context map[string]string) ([]byte, *failure) {
	if failed := k.usable(); failed != nil {
		return nil, failed
	}
	rotation := len(k.material.secrets) - 1
	box, err := k.material.secrets[rotation].Wrap(plaintext, contextBytes(context))
	if err != nil {
		return nil, &failure{"KMSInternalException", err.Error()}
	}
	blob := append(slices.Clone(blobMark), byte(len(k.id)))
	blob = append(blob, k.id...)
	blob = binary.BigEndian.AppendUint16(blob, uint16(rotation))
	return append(blob, box...), nil
}

// contextBytes is an encryption context as it is bound to a ciphertext.
func contextBytes(context map[string]string) []byte {
	var parts [][]byte
	for _, name := range slices.Sorted(maps.Keys(context)) {
		parts = append(parts, []byte(name), []byte(context[name]))
	}
	return seal.Associated("context", parts...)
}

// open opens a ciphertext, with the key of this name where one is given.
func (s *Server) open(region, name string, blob []byte, context map[string]string) (*key, []byte, *failure) {
	invalid := &failure{"InvalidCiphertextException", ""}
	if len(blob) == 0 || len(blob) > 6144 {
		return nil, nil, &failure{"ValidationException", "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint"}
	}
	var given *key
	if name != "" {
		var failed *failure
		if given, failed = s.find(region, name); failed != nil {
			return nil, nil, failed
		}
	}
	head := len(blobMark) + 1
	if len(blob) < head || !bytes.HasPrefix(blob, blobMark) || len(blob) < head+int(blob[head-1])+2+seal.WrapOverhead {
		return nil, nil, invalid
	}
	id, rest := string(blob[head:head+int(blob[head-1])]), blob[head+int(blob[head-1]):]
	k, ok := s.keys[region+"/"+id]
	if !ok {
		return nil, nil, invalid
	}
	if given != nil && given != k {
		return nil, nil, &failure{"IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation."}
	}
	if failed := k.usable(); failed != nil {
		return nil, nil, failed
	}
	rotation, box := int(binary.BigEndian.Uint16(rest)), rest[2:]
	if rotation >= len(k.material.secrets) {
		return nil, nil, invalid
	}
	plaintext, err := k.material.secrets[rotation].Unwrap(box, contextBytes(context), len(box)-seal.WrapOverhead)
	if err != nil {
		return nil, nil, invalid
	}
	return k, plaintext, nil
}

func (s *Server) encrypt(k *key, in request) (any, *failure) {
	if len(in.Plaintext) == 0 || len(in.Plaintext) > 4096 {
		return nil, &failure{"ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint"}
	}
	blob, failed := k.close(in.Plaintext, in.EncryptionContext)
	if failed != nil {
		return nil, failed
	}
	return map[string]any{"CiphertextBlob": blob, "KeyId": k.arn(), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

func generate(k *key, in request) (any, *failure) {
	if in.KeySpec != "AES_256" {
		return nil, &failure{"ValidationException", "key spec " + in.KeySpec}
	}
	plaintext := seal.RandomBytes(seal.KeySize)
	blob, failed := k.close(plaintext, in.EncryptionContext)
	if failed != nil {
		return nil, failed
	}
	return map[string]any{"CiphertextBlob": blob, "Plaintext": plaintext, "KeyId": k.arn()}, nil
}

func (s *Server) decrypt(region string, in request) (any, *failure) {
	k, plaintext, failed := s.open(region, in.KeyId, in.CiphertextBlob, in.EncryptionContext)
	if failed != nil {
		return nil, failed
	}
	return map[string]any{"Plaintext": plaintext, "KeyId": k.arn(), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

func (s *Server) reencrypt(region string, in request) (any, *failure) {
	source, plaintext, failed := s.open(region, in.SourceKeyId, in.CiphertextBlob, in.SourceEncryptionContext)
	if failed != nil {
		return nil, failed
	}
	target, failed := s.find(region, in.DestinationKeyId)
	if failed != nil {
		return nil, failed
	}
	blob, failed := target.close(plaintext, in.DestinationEncryptionContext)
	if failed != nil {
		return nil, failed
	}
	return map[string]any{"CiphertextBlob": blob, "SourceKeyId": source.arn(), "KeyId": target.arn()}, nil
}
