package s3blob

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bobbindb/bobbin/shared/blob"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put implements blob.Bucket. The service compares the body with its CRC-32C and keeps
// that beside the object.
func (b *Bucket) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return blob.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	if when == (blob.Condition{}) {
		return blob.Info{}, fmt.Errorf("put %s: %w: no condition was given", key, blob.ErrNotStored)
	}
	in := &s3.PutObjectInput{
		Bucket:         aws.String(b.name),
		Key:            aws.String(b.prefix + key),
		Body:           bytes.NewReader(body),
		ContentLength:  aws.Int64(int64(len(body))),
		ContentType:    aws.String("application/octet-stream"),
		ChecksumCRC32C: aws.String(checksum(body)),
	}
	if when.Absent() {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(string(when.Match()))
	}
	limited, d := b.deadline(ctx, int64(len(body)))
	defer d.done()
	out, err := b.client.PutObject(limited, in, once)
	if err != nil {
		date, err := b.fail(ctx, opPut, key, err)
		return blob.Info{Date: date}, err
	}
	return blob.Info{ETag: blob.ETag(aws.ToString(out.ETag)), Size: int64(len(body)), Date: dateIn(out.ResultMetadata)}, nil
}

// checksum is the CRC-32C of a body as S3 writes it.
func checksum(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli)))
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	limited, d := b.deadline(ctx, 0)
	defer d.done()
	in := &s3.DeleteObjectInput{Bucket: aws.String(b.name), Key: aws.String(b.prefix + key)}
	if _, err := b.client.DeleteObject(limited, in, thrice); err != nil {
		if _, err = b.fail(ctx, opDelete, key, err); !errors.Is(err, blob.ErrNotExist) {
			return err
		}
	}
	return nil
}
