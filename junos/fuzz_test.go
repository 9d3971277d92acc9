package junos

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"testing"
)

// pieces is a source that gives n bytes at a time.
func pieces(wire []byte, n int) source {
	return func(_ context.Context, b []byte) (int, error) {
		if len(wire) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		k := copy(b, wire[:min(n, len(wire))])
		wire = wire[k:]
		return k, nil
	}
}

// messages reads what a source holds, to its first error.
func messages(read source, chunked bool) (all [][]byte, err error) {
	f := newFrames(read)
	f.chunked = chunked
	for {
		m, err := readMessage(context.Background(), f, 1<<24)
		if err != nil {
			return append(all, m), err
		}
		all = append(all, m)
	}
}

// What is framed is read back, and what is read does not depend on how it came.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("<rpc-reply/>]]>]]><a>]]>]]</a>]]>]]>"), 3, false)
	f.Add([]byte("\n#3\n<a>\n#4\n</a>\n##\n\n#1\nx\n##\n"), 1, true)
	f.Add([]byte("\n#4294967295\nx"), 2, true)
	f.Fuzz(func(t *testing.T, wire []byte, n int, chunked bool) {
		n = max(1, n%100)
		whole, err1 := messages(pieces(wire, max(1, len(wire))), chunked)
		split, err2 := messages(pieces(wire, n), chunked)
		if errors.Is(err1, errFraming) != errors.Is(err2, errFraming) || !slices.EqualFunc(whole, split, bytes.Equal) {
			t.Fatalf("at once %q, %v\nin pieces %q, %v", whole, err1, split, err2)
		}
		if len(wire) == 0 || bytes.Contains(wire, []byte("]]>")) || !chunked && bytes.HasSuffix(wire, []byte("]")) {
			return
		}
		back, _ := messages(pieces(frame(string(wire), chunked), n), chunked)
		if !bytes.Equal(back[0], wire) {
			t.Errorf("framed %q, read %q", wire, back[0])
		}
	})
}

func wellFormed(b []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.Token(); err != nil {
			return err == io.EOF
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add([]byte(hello11))
	f.Add([]byte("<!-- x --><nc:hello><rpc-error/>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil && (!errors.Is(err, errNotHello) || h != serverHello{}) {
			t.Errorf("%+v, %v", h, err)
		}
		if quick, sure := quickHello(b); sure && wellFormed(b) {
			if tree, err := treeHello(b); err == nil && tree != quick {
				t.Errorf("read quickly %+v, as a tree %+v", quick, tree)
			}
		}
		if len(h.sessionID) > maxFact {
			t.Errorf("session-id of %d bytes", len(h.sessionID))
		}
	})
}
