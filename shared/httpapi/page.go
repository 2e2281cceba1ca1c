package httpapi

import (
	"strconv"
	"strings"

	"github.com/bobbindb/bobbin/shared/chat"
)

func badPage(what string) *chat.Error {
	return &chat.Error{Kind: chat.Invalid, Code: "invalid_pagination", Text: "invalid pagination: " + what}
}

// The refusals of a page. Texts are part of the contract.
var (
	errLimitSmall    = badPage("limit must be at least 1")
	errLimitNegative = badPage("limit cannot be negative")
	errLimitLarge    = badPage("limit cannot exceed " + strconv.Itoa(chat.MaxLimit))
	errManyCursors   = badPage("only one of anchor, before, after can be specified")
	errPath          = badPage("path must be 'all' or 'head'")
	errPathBackwards = badPage("path=head takes only before")
	errSlugAlone     = badPage("slug cannot be combined with status or sort_by=updated_ts")
	errSortBy        = badPage("sort_by must be 'created_ts' or 'updated_ts'")
)

// cursor reads which page is asked for.
func (x *exchange) cursor() (chat.Cursor, error) {
	limit, err := x.limit()
	if err != nil {
		return chat.Cursor{}, err
	}
	c := chat.Cursor{Before: x.param("before"), After: x.param("after"), Anchor: x.param("anchor"), Limit: limit}
	if c.Before != "" && c.After != "" || c.Before != "" && c.Anchor != "" || c.After != "" && c.Anchor != "" {
		return chat.Cursor{}, errManyCursors
	}
	return c, nil
}

func (x *exchange) limit() (int, error) {
	if !x.has("limit") {
		return chat.DefaultLimit, nil
	}
	text := x.param("limit")
	digits, negative := strings.CutPrefix(text, "-")
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, errLimitSmall
		}
	}
	n, err := strconv.Atoi(text)
	switch {
	case digits == "":
		return 0, errLimitSmall
	case negative && strings.Trim(digits, "0") != "":
		return 0, errLimitNegative
	case err != nil || n > chat.MaxLimit: // digits that do not fit are too many
		return 0, errLimitLarge
	case n < 1:
		return 0, errLimitSmall
	}
	return n, nil
}

func (x *exchange) sortBy() (chat.SortBy, error) {
	switch x.param("sort_by") {
	case "", "created_ts":
		return chat.ByCreated, nil
	case "updated_ts":
		return chat.ByUpdated, nil
	}
	return 0, errSortBy
}

// appendPage appends a list's place in the whole. first and last are the page's ends.
func appendPage[K interface{ AppendTo([]byte) []byte }](b []byte, p chat.Page, count int, first, last K) []byte {
	b = append(appendName(b, "pagination"), '{')
	if count == 0 {
		b = append(b, `"before_anchor":"","after_anchor":""`...)
	} else {
		b = appendKey(b, "before_anchor", first)
		b = appendKey(b, "after_anchor", last)
	}
	b = appendBool(b, "has_before", p.HasBefore)
	b = appendBool(b, "has_after", p.HasAfter)
	b = appendInt(b, "count", int64(count))
	if !p.Uncounted {
		b = appendInt(b, "total", int64(p.Total))
	}
	return append(b, '}')
}
