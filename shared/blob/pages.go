package blob

import (
	"context"
	"iter"
)

// Pages lists page by page, from opts.After on. After an error there is nothing more.
func Pages(ctx context.Context, bucket Bucket, opts ListOptions) iter.Seq2[Listing, error] {
	return func(yield func(Listing, error) bool) {
		for {
			page, err := bucket.List(ctx, opts)
			if !yield(page, err) || err != nil || !page.More || len(page.Entries) == 0 {
				return
			}
			opts.After = page.Entries[len(page.Entries)-1].Key
		}
	}
}
