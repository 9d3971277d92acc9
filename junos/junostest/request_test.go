package junostest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestParseRequest(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		ok       bool
	}{
		{"rpc", `<rpc><get-alarm-information/></rpc>`, true},
		{"prefix, declaration, comment, byte order mark", "\ufeff<?xml version=\"1.0\"?><!-- x --><nc:rpc xmlns:nc=\"u\"><nc:a/></nc:rpc>\n", true},
		{"hello", `<hello><capabilities><capability> x </capability></capabilities></hello>`, true},
		{"nothing", ``, false},
		{"only text", `hello`, false},
		{"no operation", `<rpc></rpc>`, false},
		{"two operations", `<rpc><a/><b/></rpc>`, false},
		{"two roots", `<rpc><a/></rpc><rpc><a/></rpc>`, false},
		{"text after", `<rpc><a/></rpc>x`, false},
		{"other root", `<rpc-reply><a/></rpc-reply>`, false},
		{"unclosed", `<rpc><a>`, false},
		{"crossed", `<rpc><a></rpc></a>`, false},
		{"prefixes differ", `<x:rpc><a/></y:rpc>`, false},
		{"document type", `<!DOCTYPE x [<!ENTITY e "boom">]><rpc><a/></rpc>`, false},
		{"unknown entity", `<rpc><a>&e;</a></rpc>`, false},
		{"deep", `<rpc>` + strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) + `</rpc>`, false},
		{"wide", `<rpc><a>` + strings.Repeat("<b/>", 600) + `</a></rpc>`, false},
	} {
		if _, err := parseRequest([]byte(tt.in)); (err == nil) != tt.ok {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
	req, err := parseRequest([]byte(`<rpc message-id="1"><get-x format="text"> t <a/><b> v <c>w</c></b></get-x></rpc>`))
	if err != nil || req.op.name != "get-x" || req.op.format != "text" || req.op.option("b") != "v" || len(req.op.options) != 2 || strings.TrimSpace(req.op.text) != "t" {
		t.Errorf("%+v, %v", req.op, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`<rpc message-id="1" a:b="c"><get-chassis-inventory><extensive/></get-chassis-inventory></rpc>`))
	f.Add([]byte(`<hello><capabilities><capability>urn:ietf:params:netconf:base:1.1</capability></capabilities></hello>`))
	f.Add([]byte(`<rpc><command format="xml">show version | display xml</command></rpc>`))
	fleet := newFleet(f, Config{Devices: 6})
	f.Fuzz(func(t *testing.T, msg []byte) {
		req, err := parseRequest(msg)
		if err != nil || req.hello {
			return
		}
		for _, d := range fleet.Devices() {
			doc, _, err := d.answer(req)
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, doc)
		}
	})
}

func wellFormed(t *testing.T, doc []byte) {
	t.Helper()
	if err := parses(doc); err != nil {
		t.Fatalf("%v in %.500q", err, doc)
	}
}

// parses does not resolve prefixes: a client may send attributes with a prefix
// that it has not declared, and gets them back so. It is strict about UTF-8.
func parses(doc []byte) error {
	dec := xml.NewDecoder(bytes.NewReader(doc))
	for depth := 0; ; {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) && depth == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		switch tok.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
	}
}

// rw reads from one place and writes to another.
type rw struct {
	io.Reader
	io.Writer
}

func TestFramer(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		chunked  bool
		want     string
		err      error
	}{
		{"end of message", "\n<a/>]]>]]>rest", false, "\n<a/>", nil},
		{"delimiter inside brackets", "a]]]>]]>]]>", false, "a]", nil},
		{"no delimiter", "<a/>]]>", false, "", io.EOF},
		{"too long", strings.Repeat("x", maxRequest+100), false, "", errTooLong},
		{"two chunks", "\n#2\n<a\n#2\n/>\n##\n", true, "<a/>", nil},
		{"line feeds before", "\n\n\n#4\n<a/>\n##\n", true, "<a/>", nil},
		{"no hash", "\n<a/>", true, "", errChunk},
		{"zero", "\n#0\n\n##\n", true, "", errChunk},
		{"leading zero", "\n#04\n<a/>\n##\n", true, "", errChunk},
		{"sign", "\n#+4\n<a/>\n##\n", true, "", errChunk},
		{"huge", "\n#4294967295\n", true, "", errTooLong},
		{"endless digits", "\n#" + strings.Repeat("1", 99), true, "", errChunk},
		{"short chunk", "\n#10\n<a/>", true, "", io.ErrUnexpectedEOF},
		{"sum too long", strings.Repeat("\n#131072\n"+strings.Repeat("x", 131072), 3) + "\n##\n", true, "", errTooLong},
	} {
		for _, oneByte := range []bool{false, true} {
			var r io.Reader = strings.NewReader(tt.in)
			if oneByte {
				r = iotest.OneByteReader(r)
			}
			f := framerFor(rw{r, io.Discard}, tt.chunked)
			got, err := f.read()
			if !errors.Is(err, tt.err) || err == nil && string(got) != tt.want {
				t.Errorf("%s (one byte at a time: %v): %.40q, %v", tt.name, oneByte, got, err)
			}
		}
	}
}

func framerFor(rw io.ReadWriter, chunks bool) *framer {
	f := newFramer(rw, &sync.Pool{New: func() any { return new(bytes.Buffer) }})
	if chunks {
		f.mode = chunked
	}
	return f
}

func TestFramerRoundTrip(t *testing.T) {
	doc := []byte("<a>" + strings.Repeat("0123456789", 5000) + "</a>\n")
	for _, chunked := range []bool{false, true} {
		var b bytes.Buffer
		f := framerFor(&b, chunked)
		for range 2 {
			if err := f.write(doc); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			got, err := f.read()
			if got = bytes.TrimLeft(got, "\n"); err != nil || !bytes.Equal(got, doc) {
				t.Errorf("chunked %v: %d bytes back, want %d: %v", chunked, len(got), len(doc), err)
			}
		}
	}
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte("<a/>]]>]]>"), false)
	f.Add([]byte("\n#4\n<a/>\n##\n"), true)
	f.Fuzz(func(t *testing.T, in []byte, chunked bool) {
		fr := framerFor(rw{bytes.NewReader(in), io.Discard}, chunked)
		total := 0
		for {
			msg, err := fr.read()
			if err != nil {
				return
			}
			if len(msg) > maxRequest {
				t.Fatalf("a message of %d bytes", len(msg))
			}
			if total += len(msg); total > len(in) {
				t.Fatalf("%d bytes out of %d", total, len(in))
			}
		}
	})
}

func FuzzReplacement(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0"?><rpc-reply message-id="old" a="b"><x/></rpc-reply>`))
	f.Add([]byte(`<nc:rpc-reply message-id='1' message-id=`))
	f.Add([]byte(`<rpc-reply/>]]>]]>`))
	id := []xml.Attr{{Name: xml.Name{Local: "message-id"}, Value: `new"&`}}
	f.Fuzz(func(t *testing.T, body []byte) {
		root, rest, ok := findRoot(body)
		if !ok {
			return
		}
		out := stamp(root, rest, id)
		if !bytes.HasSuffix(out, rest) || out[0] != '<' {
			t.Fatalf("%q became %q", body, out)
		}
		tok, err := xml.NewDecoder(bytes.NewReader(out)).RawToken()
		if e, is := tok.(xml.StartElement); err != nil || !is || attr(e.Attr[len(e.Attr)-1:], "message-id") != `new"&` {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
	})
}
