package junostest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const base11 = "urn:ietf:params:netconf:base:1.1"

// errFault ends a connection because the device's fault says so, errReset
// without a word, and errEnd only the session.
var (
	errFault = errors.New("device is faulty")
	errReset = errors.New("device is gone")
	errEnd   = errors.New("session is over")
)

// serveNETCONF runs a session from the hello to its end: close-session, the
// end of the stream, a request that cannot be parsed, or ctx.
func (d *Device) serveNETCONF(ctx context.Context, rw io.ReadWriter) error {
	f := newFramer(rw, &d.fleet.buffers)
	defer f.leave(rw)
	if err := d.greet(ctx, f); err != nil {
		return err
	}
	for {
		msg, err := f.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		done, err := d.handle(ctx, f, msg)
		if done || err != nil {
			return err
		}
	}
}

// handle answers one message; done says that it was the last.
func (d *Device) handle(ctx context.Context, f *framer, msg []byte) (done bool, err error) {
	req, err := parseRequest(msg)
	if err != nil {
		doc := d.errorReply(nil, &rpcError{"protocol", "malformed-message", "XML syntax error in request", ""})
		return true, errors.Join(err, d.send(f, nil, document{text: doc}))
	}
	if req.hello {
		if d.plat.rfc && slices.Contains(req.capabilities, base11) {
			f.mode = chunked
		}
		return false, nil
	}
	text, item, err := d.answered(req)
	if err != nil {
		return true, err
	}
	doc := document{req.op.name, item, text}
	if d.fault.v.Load().kind() == NoPipeline {
		err = d.alone(ctx, f, doc)
	} else {
		err = d.deliver(ctx, f, doc)
	}
	if err != nil {
		return true, fmt.Errorf("sending a reply: %w", err)
	}
	return req.op.name == "close-session", nil
}

// alone delivers a document, unless more comes from the client before that.
func (d *Device) alone(ctx context.Context, f *framer, doc document) error {
	soon, cancel := context.WithCancel(ctx)
	defer cancel()
	over := f.await(cancel)
	pause(soon, patience)
	if !over() {
		return errEnd
	}
	return d.deliver(ctx, f, doc)
}

// patience is how long a device with NoPipeline waits for the request that must
// not come. Clients that pipeline have sent it by then.
const patience = 20 * time.Millisecond

// greet sends the hello; io.EOF says that the session is over with it. Base 1.1 is offered by what is rfc-compliant.
func (d *Device) greet(ctx context.Context, f *framer) error {
	fault, hello := d.fault.v.Load(), d.hello()+eom
	if !d.plat.rfc {
		hello += "\n"
	}
	over := error(nil)
	switch fault.kind() {
	case StallHello:
		<-ctx.Done()
		return errFault
	case Garbage:
		hello, over = string(d.noise())+eom, io.EOF
	case ErrorHello:
		if hello = d.helloError() + hello; fault.arg() == "only" {
			hello, over = d.helloError()+eom, io.EOF
		}
	case Splits:
		_, err := io.WriteString(d.outlet(ctx, f.w, fault), hello)
		return err
	}
	_, err := io.WriteString(f.w, hello)
	return errors.Join(err, over)
}

// helloError is what the management daemon says where it cannot start as it should.
func (d *Device) helloError() string {
	w := &writer{}
	w.in("rpc-error", func() {
		w.leaf("error-type", "protocol")
		w.leaf("error-tag", "operation-failed")
		w.leaf("error-severity", "error")
		w.leaf("error-message", "Could not open the shared configuration database")
	}, "xmlns", netconfNS)
	return w.buf.String()
}

func (d *Device) hello() string {
	w := &writer{indent: true}
	if !d.plat.rfc {
		class := "lwc-view"
		if d.Superuser {
			class = "super-user"
		}
		w.buf.WriteString("<!-- No zombies were killed during the creation of this user interface -->\n<!-- user " +
			escape(d.User, false) + ", class " + class + " -->\n")
	}
	nc, ns := d.nc(), "xmlns"
	if d.plat.rfc {
		ns = "xmlns:nc"
	}
	w.in(nc+"hello", func() {
		w.in(nc+"capabilities", func() {
			for _, c := range d.capabilities() {
				w.leaf(nc+"capability", c)
			}
		})
		w.leaf(nc+"session-id", fmt.Sprint(10000+uint64(d.index)*16+d.session.Add(1)))
	}, ns, netconfNS)
	return w.buf.String()
}

func (d *Device) capabilities() []string {
	all := []string{"urn:ietf:params:netconf:base:1.0"}
	if d.plat.rfc {
		all = append(all, base11)
	}
	for _, c := range []string{"candidate:1.0", "confirmed-commit:1.0", "validate:1.0", "url:1.0?scheme=http,ftp,file"} {
		all = append(all, "urn:ietf:params:netconf:capability:"+c)
	}
	all = append(all, "urn:ietf:params:xml:ns:netconf:base:1.0")
	for _, c := range []string{"candidate:1.0", "confirmed-commit:1.0", "validate:1.0", "url:1.0?scheme=http,ftp,file"} {
		all = append(all, "urn:ietf:params:xml:ns:netconf:capability:"+c)
	}
	return append(all, "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring",
		"http://xml.juniper.net/netconf/junos/1.0", "http://xml.juniper.net/dmi/system/1.0")
}

// noise is what no client can read: control characters, invalid UTF-8, angle
// brackets that close nothing.
func (d *Device) noise() []byte {
	r := d.rng("noise")
	var b bytes.Buffer
	for range 64 {
		b.WriteString("<\x00\xff\xfe" + code(r, "FFFF<&99") + strings.Repeat(">", r.IntN(3)) + "\n")
	}
	return b.Bytes()
}
