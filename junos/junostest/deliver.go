package junostest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// document is one reply on its way out.
type document struct {
	rpc, item string // as the log has them
	text      []byte
}

// deliver logs a document and writes it, so that what a client has received is
// in the log, or does what the fault of the device asks for in place of that.
func (d *Device) deliver(ctx context.Context, f *framer, doc document) error {
	fault := d.fault.v.Load()
	out := f.through(d.outlet(ctx, f.w, fault))
	switch fault.kind() {
	case Stall:
		<-ctx.Done()
		return errFault
	case StallMid:
		err := d.half(out, doc)
		if err == nil {
			<-ctx.Done()
		}
		return errors.Join(err, errFault)
	case Disconnect:
		return errors.Join(d.half(out, doc), errReset)
	case Truncate:
		if fault.arg() != "framed" {
			return errors.Join(d.half(out, doc), errFault)
		}
		doc.text = doc.text[:len(doc.text)/2]
	case Huge:
		if size, item := fault.size(0), hugeItem(fault); item == "*" && doc.item != "" || item == doc.item {
			_, how := cutArg(fault.arg())
			return d.huge(out, doc, size, how == noisy)
		}
	default:
		doc.text = spoil(fault.kind(), d, doc.text)
	}
	if err := d.wait(ctx); err != nil {
		return err
	}
	return d.send(out, fault, doc)
}

const byteOrderMark = "\xef\xbb\xbf"

// send logs a document and then writes it. A byte order mark stands before the
// document and is no part of it.
func (d *Device) send(out *framer, fault *faultState, doc document) error {
	if err := d.fleet.sent.add(d.Name, doc.rpc, doc.item, bytes.TrimPrefix(doc.text, []byte(byteOrderMark))); err != nil {
		return err
	}
	if fault.kind() == WrongFraming && out.mode != bare {
		return out.writeWrong(doc.text, fault.arg())
	}
	return out.write(doc.text)
}

// spoil returns a document with what is wrong with all that the device sends.
func spoil(kind Fault, d *Device, text []byte) []byte {
	switch kind {
	case GarbageReply:
		return d.noise()
	case BOM:
		return append([]byte(byteOrderMark), text...)
	case WrongID:
		return bytes.Replace(text, []byte(`message-id="`), []byte(`message-id="9`), 1)
	case BadUTF8:
		at := lastText(text)
		return bytes.Join([][]byte{text[:at], text[at:]}, []byte("B\xfcro \xff\xfe\xc3"))
	}
	return text
}

// lastText is where text ends that stands directly before an end tag, or the
// end of a document that has none.
func lastText(text []byte) int {
	for at := len(text); at > 0; {
		if at = bytes.LastIndex(text[:at], []byte("</")); at > 0 && text[at-1] != '>' && text[at-1] != '\n' {
			return at
		}
	}
	return len(text)
}

// half sends the first half of a document and nothing that ends it.
func (d *Device) half(out *framer, doc document) error {
	part := doc.text[:len(doc.text)/2]
	if err := d.fleet.sent.add(d.Name, doc.rpc, doc.item, part); err != nil {
		return err
	}
	return out.begin(part, len(doc.text))
}

// wait is the time that the device takes for a reply.
func (d *Device) wait(ctx context.Context) error {
	if d.fleet.cfg.Latency > 0 {
		pause(ctx, d.fleet.cfg.Latency)
	}
	return ctx.Err()
}

// outlet is how the device writes: at once, in small pieces, or slowly.
func (d *Device) outlet(ctx context.Context, w io.Writer, fault *faultState) io.Writer {
	switch fault.kind() {
	case Splits:
		return &splitter{w: w, most: fault.count(1024), pick: d.rng("splits").IntN}
	case Drip:
		return &dripper{w: w, rate: fault.count(16), pause: func(t time.Duration) error { pause(ctx, t); return ctx.Err() }}
	}
	return w
}

// splitter writes in pieces of 1 to most bytes; short writes, which is what
// framing goes out as, in pieces of at most three.
type splitter struct {
	w    io.Writer
	most int
	pick func(int) int
}

const framingBytes = 16 // no delimiter and no chunk header is longer

// Write writes all of p in pieces.
func (s *splitter) Write(p []byte) (n int, err error) {
	most := s.most
	if len(p) <= framingBytes {
		most = min(most, 3)
	}
	for n < len(p) {
		k := min(1+s.pick(most), len(p)-n)
		if _, err := s.w.Write(p[n : n+k]); err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// dripper writes at a rate of bytes a second, up to ten times a second.
type dripper struct {
	pause func(time.Duration) error
	w     io.Writer
	rate  int
}

// Write writes all of p in its own time.
func (d *dripper) Write(p []byte) (n int, err error) {
	piece := max(1, d.rate/10)
	for n < len(p) {
		k := min(piece, len(p)-n)
		if err := d.pause(time.Second * time.Duration(k) / time.Duration(d.rate)); err != nil {
			return n, err
		}
		if _, err := d.w.Write(p[n : n+k]); err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}
