package junostest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const maxReplacement = 256 << 20

// replacement reads the file that stands for a reply, nil where there is none.
// A file whose root is an rpc-reply is sent as it is but for the message-id;
// anything else is put into an envelope.
func (f *Fleet) replacement(d *Device, item string, attrs []xml.Attr) ([]byte, error) {
	if f.cfg.Replies == "" || item == "" {
		return nil, nil
	}
	name := item + ".xml"
	for _, path := range []string{filepath.Join(d.Name, name), filepath.Join(string(d.Model), name), name} {
		body, err := readSmall(filepath.Join(f.cfg.Replies, path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading a replacement reply: %w", err)
		}
		if start, end, ok := findRoot(body); ok {
			return d.stamp(body, start, end, attrs), nil
		}
		return d.reply(attrs, func(w *writer) { w.buf.Write(body) }), nil
	}
	return nil, nil
}

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxReplacement {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxReplacement)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// findRoot finds the start tag of a root element rpc-reply. What comes after
// need not be well formed.
func findRoot(body []byte) (start, end int, ok bool) {
	dec := xml.NewDecoder(bytes.NewReader(body))
	for {
		before := dec.InputOffset()
		tok, err := dec.RawToken()
		if err != nil {
			return 0, 0, false
		}
		if t, is := tok.(xml.StartElement); is {
			return int(before), int(dec.InputOffset()), t.Name.Local == "rpc-reply"
		}
	}
}

// stamp replaces the attributes message-id of the start tag by that of the
// request and leaves every other byte alone. What stands before the tag goes:
// a document begins with its root.
func (d *Device) stamp(body []byte, start, end int, attrs []xml.Attr) []byte {
	tag := body[start:end]
	for {
		i := bytes.Index(tag, []byte(" message-id="))
		if i < 0 || i+13 >= len(tag) {
			break
		}
		quote := bytes.IndexByte(tag[i+13:], tag[i+12])
		if quote < 0 {
			break
		}
		tag = append(bytes.Clone(tag[:i]), tag[i+13+quote+1:]...)
	}
	out := make([]byte, 0, len(body)+64)
	close := len(tag) - 1
	if bytes.HasSuffix(tag, []byte("/>")) {
		close--
	}
	out = append(out, tag[:close]...)
	if id := attr(attrs, "message-id"); id != "" {
		out = append(out, ` message-id="`+escape(id, true)+`"`...)
	}
	out = append(out, tag[close:]...)
	return append(out, body[end:]...)
}
