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
// A file whose root is an rpc-reply is sent as it is but for the message-id in
// its start tag; anything else is put into an envelope.
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
		if root, rest, ok := findRoot(body); ok {
			return stamp(root, rest, attrs), nil
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

// findRoot finds the start tag of a root element rpc-reply, and what comes
// after it, which need not be well formed.
func findRoot(body []byte) (root xml.StartElement, rest []byte, ok bool) {
	dec := xml.NewDecoder(bytes.NewReader(body))
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return root, nil, false
		}
		if root, ok = tok.(xml.StartElement); ok {
			root = root.Copy()
			rest = body[dec.InputOffset():]
			if bytes.HasSuffix(body[:dec.InputOffset()], []byte("/>")) {
				rest = append([]byte("</"+qualified(root.Name)+">"), rest...)
			}
			return root, rest, root.Name.Local == "rpc-reply"
		}
	}
}

// qualified is a name as it was written, from RawToken.
func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// stamp writes the start tag with the message-id of the request in place of
// its own, and then the rest. What stood before the tag is gone: a document
// begins with its root.
func stamp(root xml.StartElement, rest []byte, attrs []xml.Attr) []byte {
	var own []string
	for _, a := range root.Attr {
		if name := qualified(a.Name); name != "message-id" {
			own = append(own, name, a.Value)
		}
	}
	if id := attr(attrs, "message-id"); id != "" {
		own = append(own, "message-id", id)
	}
	w := &writer{}
	w.tag(qualified(root.Name), own)
	w.buf.WriteByte('>')
	w.buf.Write(rest)
	return w.buf.Bytes()
}
