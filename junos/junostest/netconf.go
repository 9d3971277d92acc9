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

// errFault ends a session because the device's fault says so.
var errFault = errors.New("device is faulty")

// serveNETCONF runs a session from the hello to its end: close-session, the
// end of the stream, a request that cannot be parsed, or ctx.
func (d *Device) serveNETCONF(ctx context.Context, rw io.ReadWriter) error {
	f := newFramer(rw)
	if err := d.greet(f); err != nil {
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
		return true, errors.Join(err, d.send(f, "", "", doc))
	}
	if req.hello {
		f.chunked = d.plat.rfc && slices.Contains(req.capabilities, base11)
		return false, nil
	}
	doc, item, err := d.answer(req)
	if err != nil {
		return true, err
	}
	if doc, err = d.misbehave(ctx, f, req.op.name, item, doc); err != nil {
		return true, err
	}
	if err := d.send(f, req.op.name, item, doc); err != nil {
		return true, fmt.Errorf("sending a reply: %w", err)
	}
	return req.op.name == "close-session", nil
}

// greet sends the hello; io.EOF says that the session is over with it. Base 1.1 is offered by what is rfc-compliant.
func (d *Device) greet(f *framer) error {
	if d.Fault() == Garbage {
		_, err := f.w.Write(append(d.noise(), eom...))
		return errors.Join(err, io.EOF)
	}
	hello := d.hello() + eom
	if !d.plat.rfc {
		hello += "\n"
	}
	_, err := io.WriteString(f.w, hello)
	return err
}

func (d *Device) hello() string {
	w := &writer{indent: true}
	if !d.plat.rfc {
		w.buf.WriteString("<!-- No zombies were killed during the creation of this user interface -->\n<!-- user " +
			escape(d.User, false) + ", class lwc-view -->\n")
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

// send logs a document and then writes it, so that what a client has received
// is in the log.
func (d *Device) send(f *framer, rpc, item string, doc []byte) error {
	if err := d.fleet.sent.add(d.Name, rpc, item, doc); err != nil {
		return err
	}
	return f.write(doc)
}

// misbehave does what the fault of the device asks for, and returns the
// document to send in place of doc.
func (d *Device) misbehave(ctx context.Context, f *framer, rpc, item string, doc []byte) ([]byte, error) {
	switch d.Fault() {
	case Stall:
		<-ctx.Done()
		return nil, errFault
	case GarbageReply:
		return d.noise(), nil
	case Truncate:
		return nil, errors.Join(d.truncate(f, rpc, item, doc), errFault)
	}
	return doc, d.wait(ctx)
}

// truncate sends the first half of a document and nothing that ends it.
func (d *Device) truncate(f *framer, rpc, item string, doc []byte) error {
	half := doc[:len(doc)/2]
	if err := d.fleet.sent.add(d.Name, rpc, item, half); err != nil {
		return err
	}
	var head []byte
	if f.chunked {
		head = fmt.Appendf(nil, "\n#%d\n", len(doc))
	}
	_, err := f.w.Write(append(head, half...))
	return err
}

// wait is the time that the device takes for a reply.
func (d *Device) wait(ctx context.Context) error {
	if d.fleet.cfg.Latency <= 0 {
		return nil
	}
	t := time.NewTimer(d.fleet.cfg.Latency)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
