package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// gzipMagic begins what is compressed. No line of JSON does.
var gzipMagic = []byte{0x1f, 0x8b}

// readText looks at how a file begins and reads it decompressed if that is needed.
func readText(path string, file io.Reader) (io.Reader, error) {
	text := bufio.NewReaderSize(file, 1<<16)
	start, err := text.Peek(len(gzipMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(start, gzipMagic) {
		if strings.HasSuffix(path, ".gz") {
			return nil, errors.New("by its name it is compressed with gzip, and it is not")
		}
		start, err := text.Peek(text.Buffered())
		if err == nil && binary(start) {
			err = errors.New("it is neither NDJSON nor gzip")
		}
		return text, err
	}
	z, err := gzip.NewReader(text)
	if err != nil {
		return nil, &gzipError{err: err}
	}
	return &inflater{gzip: z}, nil
}

// binary reports whether a file that begins so is no text. A first line that looks like
// a conversation is one, whatever is in it.
func binary(start []byte) bool {
	start = bytes.TrimLeft(start, " \t\r\n")
	if len(start) == 0 || start[0] == '{' {
		return false
	}
	line, _, _ := bytes.Cut(start, []byte("\n"))
	return bytes.ContainsFunc(line, func(r rune) bool { return r == utf8.RuneError || r < ' ' && r != '\t' && r != '\r' })
}

// openFile opens a file, or stdin for "-". The size is -1 when nobody knows it.
func (c *console) openFile(path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(c.in), -1, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a folder")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}

// inflater decompresses, and tells a damaged file from one that cannot be read.
type inflater struct {
	gzip  *gzip.Reader
	bytes int64 // of text
	lines int64
}

// Read reads text. The error about damage says how much came before it.
func (i *inflater) Read(p []byte) (int, error) {
	n, err := i.gzip.Read(p)
	i.bytes += int64(n)
	i.lines += int64(bytes.Count(p[:n], []byte("\n")))
	var system *os.PathError
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &system) {
		err = &gzipError{line: i.lines + 1, bytes: i.bytes, err: err}
	}
	return n, err
}

// gzipError: the file is compressed, and cannot be decompressed to its end.
type gzipError struct {
	line  int64 // in which the text breaks off
	bytes int64 // of text before that
	err   error
}

// Error says where the damage is.
func (d *gzipError) Error() string {
	what := d.err.Error()
	if errors.Is(d.err, io.ErrUnexpectedEOF) {
		what = "the file ends too early"
	}
	return fmt.Sprintf("gzip damaged at line %d, after %d bytes of text: %s", max(d.line, 1), d.bytes, what)
}

// Unwrap is how it cannot be decompressed.
func (d *gzipError) Unwrap() error { return d.err }
