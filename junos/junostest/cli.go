package junostest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// splitPipes takes a command apart: the command itself, single-spaced, and
// what it is piped into.
func splitPipes(text string) (line string, pipes []string) {
	parts := strings.Split(text, "|")
	for i := range parts {
		parts[i] = strings.Join(strings.Fields(parts[i]), " ")
	}
	return parts[0], parts[1:]
}

// runCLI runs one command of the operational mode and returns its exit status.
func (d *Device) runCLI(ctx context.Context, text string, stdout io.Writer) (status uint32, err error) {
	line, pipes := splitPipes(text)
	for _, p := range pipes {
		if p != "display xml" && p != "no-more" {
			return say(stdout, "error: syntax error: %.80s", p)
		}
	}
	c, everywhere, e := d.resolveCLI(operation{name: "command", text: line})
	if e != nil {
		return say(stdout, "error: %s: %.80s", e.message, e.bad)
	}
	switch d.lacking(c) {
	case notValid:
		return say(stdout, "error: command is not valid on the %s", d.Product)
	case syntax:
		return say(stdout, "error: syntax error: %.80s", line)
	}
	if !slices.Contains(pipes, "display xml") {
		return say(stdout, "error: text output is not available here; add | display xml")
	}
	doc, err := d.cliDocument(c, everywhere)
	if err != nil {
		return 1, err
	}
	f := &framer{w: stdout, mode: bare, buffer: &d.fleet.buffers}
	return 0, d.deliver(ctx, f, document{line, c.logged(), doc})
}

func say(w io.Writer, format string, args ...any) (uint32, error) {
	_, err := fmt.Fprintf(w, "\n"+format+"\n", args...)
	return 1, err
}

// cliDocument is a reply as display xml shows it: indented, without the
// namespace of NETCONF, with the banner always.
func (d *Device) cliDocument(c command, everywhere bool) ([]byte, error) {
	if doc, err := d.fleet.replacement(d, c.logged(), nil); doc != nil || err != nil {
		return doc, err
	}
	w := &writer{indent: true}
	return w.written(func() {
		w.in("rpc-reply", func() {
			d.body(w, c, everywhere)
			d.bannerElement(w)
		}, "xmlns:junos", d.envelopeNS())
	}), nil
}
