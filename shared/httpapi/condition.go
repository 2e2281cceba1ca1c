package httpapi

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// etag is the strong tag of a revision.
func etag(revision uint32) string {
	b := append(make([]byte, 0, 12), '"')
	return string(append(strconv.AppendUint(b, uint64(revision), 10), '"'))
}

// noRevision stands for a tag that no revision has.
const noRevision = math.MaxUint32

// ifMatch returns the revisions of which one must be current, nil when the request
// does not say or says "*". A weak tag matches nothing here, and neither does what is
// no tag of ours.
func (x *exchange) ifMatch() []uint32 {
	header := x.r.Header["If-Match"]
	if len(header) == 0 {
		return nil
	}
	revisions := []uint32{}
	for _, value := range header {
		for tag := range strings.SplitSeq(value, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" {
				return nil
			}
			revisions = append(revisions, revisionOf(tag))
		}
	}
	return revisions
}

// notModified answers 304 if the request has this revision already.
func (x *exchange) notModified(revision uint32) bool {
	for _, value := range x.r.Header["If-None-Match"] {
		for tag := range strings.SplitSeq(value, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || revisionOf(strings.TrimPrefix(tag, "W/")) == revision {
				x.WriteHeader(http.StatusNotModified)
				return true
			}
		}
	}
	return false
}

// revisionOf reads a strong tag.
func revisionOf(tag string) uint32 {
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return noRevision
	}
	n, err := strconv.ParseUint(tag[1:len(tag)-1], 10, 32)
	if err != nil || etag(uint32(n)) != tag {
		return noRevision
	}
	return uint32(n)
}
