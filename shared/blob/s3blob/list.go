package s3blob

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bobbindb/bobbin/shared/blob"
)

// List implements blob.Bucket. The service may end a page early; as many more are read
// as make it full.
func (b *Bucket) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	if err := ctx.Err(); err != nil {
		return blob.Listing{}, fmt.Errorf("list %s: %w", opts.Prefix, err)
	}
	in := &s3.ListObjectsV2Input{Bucket: aws.String(b.name), Prefix: aws.String(b.prefix + opts.Prefix)}
	if opts.After != "" {
		in.StartAfter = aws.String(b.prefix + opts.After)
	}
	limit := opts.PageSize()
	var page blob.Listing
	for {
		in.MaxKeys = aws.Int32(int32(limit - len(page.Entries)))
		out, err := b.listOnce(ctx, opts.Prefix, in)
		if err != nil {
			return blob.Listing{}, err
		}
		for _, o := range out.Contents {
			key := strings.TrimPrefix(aws.ToString(o.Key), b.prefix)
			page.Entries = append(page.Entries, blob.Entry{Key: key, Size: aws.ToInt64(o.Size)})
		}
		page.More, page.Date = aws.ToBool(out.IsTruncated), dateIn(out.ResultMetadata)
		if in.ContinuationToken = out.NextContinuationToken; !page.More || len(page.Entries) >= limit {
			return page, nil
		}
	}
}

func (b *Bucket) listOnce(ctx context.Context, prefix string, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	limited, d := b.deadline(ctx, 0)
	defer d.done()
	out, err := b.client.ListObjectsV2(limited, in, thrice)
	if err != nil {
		_, err = b.fail(ctx, opList, prefix, err)
	}
	return out, err
}
