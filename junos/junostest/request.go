package junostest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// request is a parsed message of a client.
type request struct {
	hello        bool
	capabilities []string   // of a hello
	attrs        []xml.Attr // of the rpc, prefixes as they came in Name.Space
	op           operation  // of the rpc
}

// operation is the one element inside an rpc.
type operation struct {
	name    string // without prefix
	format  string // attribute format: xml when it is absent
	text    string // text directly inside
	options []option
}

// option is an element inside an operation.
type option struct{ name, text string }

const (
	maxDepth    = 32
	maxElements = 512
)

var errRequest = errors.New("request is not well formed")

// parseRequest reads a hello or an rpc. It takes any prefix and any namespace,
// and refuses document type declarations, unbalanced tags, more than one
// operation and sizes that no client needs.
func parseRequest(msg []byte) (request, error) {
	p := parser{dec: xml.NewDecoder(bytes.NewReader(msg))}
	for {
		tok, err := p.dec.RawToken()
		if errors.Is(err, io.EOF) {
			return p.req, p.finish()
		}
		if err == nil {
			err = p.token(tok)
		}
		if err != nil {
			return request{}, fmt.Errorf("parsing a request: %w", err)
		}
	}
}

// parser keeps the open elements by their names as written.
type parser struct {
	dec      *xml.Decoder
	open     []string
	elements int
	req      request
}

func (p *parser) finish() error {
	if len(p.open) > 0 || p.elements == 0 {
		return errRequest
	}
	if !p.req.hello && p.req.op.name == "" {
		return fmt.Errorf("rpc without an operation: %w", errRequest)
	}
	return nil
}

func (p *parser) token(tok xml.Token) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		last := len(p.open) - 1
		if last < 0 || p.open[last] != t.Name.Space+":"+t.Name.Local {
			return errRequest
		}
		p.open = p.open[:last]
	case xml.CharData:
		return p.text(string(t))
	case xml.Directive:
		return errRequest
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	depth := len(p.open)
	p.elements++
	if p.elements > maxElements || depth >= maxDepth {
		return errTooLong
	}
	p.open = append(p.open, t.Name.Space+":"+t.Name.Local)
	switch {
	case depth == 0 && p.elements == 1:
		return p.root(t)
	case depth == 0:
		return errRequest
	case p.req.hello:
		if t.Name.Local == "capability" {
			p.req.capabilities = append(p.req.capabilities, "")
		}
	case depth == 1:
		if p.req.op.name != "" {
			return fmt.Errorf("more than one operation: %w", errRequest)
		}
		p.req.op = operation{name: t.Name.Local, format: attr(t.Attr, "format")}
	case depth == 2:
		p.req.op.options = append(p.req.op.options, option{name: t.Name.Local})
	}
	return nil
}

func (p *parser) root(t xml.StartElement) error {
	switch t.Name.Local {
	case "hello":
		p.req.hello = true
	case "rpc":
		p.req.attrs = append(p.req.attrs, t.Attr...)
	default:
		return fmt.Errorf("<%.40s>: %w", t.Name.Local, errRequest)
	}
	return nil
}

func (p *parser) text(s string) error {
	n := len(p.req.capabilities)
	switch {
	case len(p.open) == 0:
		if strings.TrimSpace(strings.TrimPrefix(s, "\ufeff")) != "" {
			return errRequest
		}
	case p.req.hello && n > 0 && strings.HasSuffix(p.open[len(p.open)-1], ":capability"):
		p.req.capabilities[n-1] += strings.TrimSpace(s)
	case len(p.open) == 2:
		p.req.op.text += s
	case len(p.open) == 3 && len(p.req.op.options) > 0:
		p.req.op.options[len(p.req.op.options)-1].text += strings.TrimSpace(s)
	}
	return nil
}

func attr(attrs []xml.Attr, name string) string {
	for _, a := range attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// option returns the text of the option of that name.
func (o operation) option(name string) string {
	for _, opt := range o.options {
		if opt.name == name {
			return opt.text
		}
	}
	return ""
}
