package junos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

const (
	maxHello  = 1 << 20 // devices that list every YANG module come to 100 KiB
	helloTrys = 4       // messages among which the hello must be

	base10    = "urn:ietf:params:netconf:base:1.0"
	base11    = "urn:ietf:params:netconf:base:1.1"
	base10URN = "urn:ietf:params:xml:ns:netconf:base:1.0" // of older Junos
	base11URN = "urn:ietf:params:xml:ns:netconf:base:1.1"
)

// clientHello says all spellings of both versions.
const clientHello = `<hello xmlns="` + base10URN + `"><capabilities>` +
	`<capability>` + base10 + `</capability><capability>` + base11 + `</capability>` +
	`<capability>` + base10URN + `</capability><capability>` + base11URN + `</capability>` +
	`</capabilities></hello>`

// errNotHello marks a message that holds no hello.
var errNotHello = errors.New("no NETCONF hello")

// serverHello is what a session needs of the device's hello.
type serverHello struct {
	sessionID string
	chunked   bool // base:1.1
}

// parseHello reads a hello whatever its prefix or namespace, with comments or
// errors beside or inside it. A device that says no capability at all is taken
// for one of base:1.0. Without a hello the error tells the first rpc-error.
func parseHello(message []byte) (serverHello, error) {
	if h, sure := quickHello(message); sure {
		return h, nil
	}
	return treeHello(message)
}

func treeHello(message []byte) (serverHello, error) {
	root, err := parseSmall(message)
	if err != nil {
		return serverHello{}, fmt.Errorf("%w: %w", errNotHello, err)
	}
	hellos := elements(root, "hello")
	if len(hellos) == 0 {
		return serverHello{}, notHello(root)
	}
	h := serverHello{sessionID: deepText(hellos[0], "session-id")}
	for _, c := range elements(hellos[0], "capability") {
		h.chunked = h.chunked || isBase11(strings.TrimSpace(c.Text()))
	}
	return h, nil
}

func notHello(root *etree.Element) error {
	for _, e := range elements(root, "rpc-error") {
		if m := rpcError(e).Message; m != "" {
			return fmt.Errorf("%w: the device answered with the error %q", errNotHello, m)
		}
	}
	return errNotHello
}

// deepText returns the text of the first element of that name, however deep.
func deepText(e *etree.Element, name string) string {
	for _, f := range elements(e, name) {
		return clipText(f.Text(), maxFact)
	}
	return ""
}

// readHello reads messages until one is a hello.
func readHello(ctx context.Context, f *frames) (serverHello, error) {
	var last error
	for range helloTrys {
		message, err := readMessage(ctx, f, maxHello)
		if err != nil && len(bytes.TrimSpace(message)) > 0 {
			err = fmt.Errorf("%w in the first %d bytes: %w", errNotHello, len(message), err)
		}
		if err != nil {
			return serverHello{}, errors.Join(last, err)
		}
		h, err := parseHello(message)
		if err == nil {
			return h, nil
		}
		last = err
	}
	return serverHello{}, last
}

// readMessage holds a whole message, for small ones.
func readMessage(ctx context.Context, f *frames, limit int) ([]byte, error) {
	var message []byte
	for {
		b, err := f.span(ctx)
		if err == errEnd {
			return message, nil
		}
		if err != nil {
			return message, err
		}
		if len(message)+len(b) > limit {
			return message, fmt.Errorf("%w: more than %d bytes", errFraming, limit)
		}
		message = append(message, b...)
	}
}
