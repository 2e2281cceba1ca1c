package load

import (
	"bytes"
	"errors"
	"strconv"
)

// response is one parsed answer; body points into the bytes that were parsed.
type response struct {
	status int
	body   []byte
	close  bool // the server ends the connection after this answer
}

var (
	errStatusLine = errors.New("malformed status line")
	errLength     = errors.New("malformed Content-Length")
	errNoLength   = errors.New("answer has neither Content-Length nor chunks")
	errChunk      = errors.New("malformed chunk")
)

var (
	headerEnd        = []byte("\r\n\r\n")
	lineEnd          = []byte("\r\n")
	contentLength    = []byte("content-length")
	transferEncoding = []byte("transfer-encoding")
	connection       = []byte("connection")
	chunked          = []byte("chunked")
	closing          = []byte("close")
)

// parseResponse reads one answer from the start of buf. A size of 0 without an
// error means that more bytes are needed.
func parseResponse(buf []byte) (answer response, size int, err error) {
	end := bytes.Index(buf, headerEnd)
	if end < 0 {
		return response{}, 0, nil
	}
	bodyAt := end + len(headerEnd)
	line, headers, _ := bytes.Cut(buf[:end], lineEnd)
	if answer.status, err = parseStatus(line); err != nil {
		return response{}, 0, err
	}
	length, inChunks, err := answer.parseHeaders(headers)
	if err != nil {
		return response{}, 0, err
	}
	switch {
	case answer.status == 204 || answer.status == 304:
		return answer, bodyAt, nil
	case inChunks:
		body, n, err := parseChunks(buf[bodyAt:])
		if err != nil || n == 0 {
			return response{}, 0, err
		}
		answer.body = body
		return answer, bodyAt + n, nil
	case length < 0:
		return response{}, 0, errNoLength
	case len(buf)-bodyAt < length:
		return response{}, 0, nil
	}
	answer.body = buf[bodyAt : bodyAt+length]
	return answer, bodyAt + length, nil
}

// parseStatus reads "HTTP/1.1 200 OK".
func parseStatus(line []byte) (int, error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return 0, errStatusLine
	}
	status := 0
	for _, digit := range line[9:12] {
		if digit < '0' || digit > '9' {
			return 0, errStatusLine
		}
		status = status*10 + int(digit-'0')
	}
	return status, nil
}

// parseHeaders finds the three headers that say where the answer ends. The
// length is -1 when none is given.
func (r *response) parseHeaders(headers []byte) (length int, inChunks bool, err error) {
	length = -1
	for len(headers) > 0 {
		var line []byte
		line, headers, _ = bytes.Cut(headers, lineEnd)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
		switch {
		case len(name) == len(contentLength) && bytes.EqualFold(name, contentLength):
			length, err = strconv.Atoi(string(value))
			if err != nil || length < 0 {
				return 0, false, errLength
			}
		case len(name) == len(transferEncoding) && bytes.EqualFold(name, transferEncoding):
			inChunks = bytes.EqualFold(value, chunked)
		case len(name) == len(connection) && bytes.EqualFold(name, connection):
			r.close = bytes.EqualFold(value, closing)
		}
	}
	return length, inChunks, nil
}

// parseChunks joins a chunked body. It first looks whether the body is whole,
// because buf must stay as it is until then. A size of 0 asks for more bytes.
// Trailers are not expected.
func parseChunks(buf []byte) (body []byte, size int, err error) {
	for at := 0; ; {
		dataAt, length, err := parseChunkHead(buf, at)
		if err != nil || dataAt == 0 {
			return nil, 0, err
		}
		next := dataAt + length + len(lineEnd)
		if next > len(buf) {
			return nil, 0, nil
		}
		if !bytes.Equal(buf[next-len(lineEnd):next], lineEnd) {
			return nil, 0, errChunk
		}
		at = next
		if length == 0 {
			return joinChunks(buf[:at]), at, nil
		}
	}
}

// joinChunks moves the data of whole, checked chunks to the start of buf.
func joinChunks(buf []byte) []byte {
	joined := buf[:0]
	for at := 0; ; {
		dataAt, length, _ := parseChunkHead(buf, at)
		if length == 0 {
			return joined
		}
		// The move never runs ahead of the next chunk head: a head is longer than nothing.
		joined = append(joined, buf[dataAt:dataAt+length]...)
		at = dataAt + length + len(lineEnd)
	}
}

// parseChunkHead reads a chunk's length line at buf[at:]. A dataAt of 0 asks for more bytes.
func parseChunkHead(buf []byte, at int) (dataAt, length int, err error) {
	n := bytes.Index(buf[at:], lineEnd)
	if n < 0 {
		return 0, 0, nil
	}
	text, _, _ := bytes.Cut(buf[at:at+n], []byte(";"))
	parsed, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 16, 31)
	if err != nil {
		return 0, 0, errChunk
	}
	return at + n + len(lineEnd), int(parsed), nil
}
