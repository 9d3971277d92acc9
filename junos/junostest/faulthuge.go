package junostest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"strconv"
)

const (
	hugeBlock = 32 << 10 // what an SSH packet takes
	// firstDemux is the lowest unit that the daemon for subscribers gives to an
	// interface of its own making; all up to four times that have ten digits.
	firstDemux = 1 << 30
)

// hugeItem is the item that Huge makes long; "*" is all of them.
func hugeItem(fault *faultState) string {
	if _, item := cutArg(fault.arg()); item != "" && item != noisy {
		return item
	}
	return "show-interfaces-terse"
}

// noisy is the argument with which what is added cannot be compressed to less than
// three fifths.
const noisy = "noise"

// silence is where noise goes in a unit.
var silence = bytes.Repeat([]byte("*"), base64.StdEncoding.EncodedLen(3<<10))

// noise fills b with letters that nobody guesses, and that are the same each time.
func (s *stream) noise(b []byte) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	s.rand.Read(raw)
	base64.StdEncoding.Encode(b, raw)
}

// huge sends a document that is size long, or a little more than it is by
// itself if that is longer. What is added is made while it is sent.
func (d *Device) huge(f *framer, doc document, size int64, noise bool) error {
	head, tail, ok := cutPayload(doc.text)
	if !ok {
		return d.send(f, nil, doc) // an error: there is nothing to make long
	}
	open, unit, shut := filling(doc.text, head, noise)
	room := size - int64(len(head)+len(open)+len(shut)+len(tail))
	units := max(room/int64(len(unit)), 1)
	pad := max(room-units*int64(len(unit)), 0)
	out := newStream(f)
	out.write(head, open)
	out.repeat(unit, units)
	return out.finish(d, doc, slices.Concat(shut, bytes.Repeat([]byte("\n"), int(pad)), tail))
}

// cutPayload cuts a reply before the end tag of its payload.
func cutPayload(doc []byte) (head, tail []byte, ok bool) {
	name := payloadName(doc)
	at := bytes.LastIndex(doc, []byte("</"+name+">"))
	if name == "" || at < 0 {
		return nil, nil, false
	}
	at = bytes.LastIndexByte(doc[:at], '\n') + 1 // the indent goes with the tag
	return doc[:at], doc[at:], true
}

// payloadName is the first element of a reply that wraps nothing else, empty
// where the reply is an error or has none.
func payloadName(doc []byte) string {
	for rest := doc; ; {
		_, after, ok := bytes.Cut(rest, []byte("<"))
		if !ok || len(after) == 0 {
			return ""
		}
		rest = after
		end := bytes.IndexAny(after, " />\n")
		if end <= 0 {
			continue
		}
		switch name := string(after[:end]); name {
		case "rpc-reply", "nc:rpc-reply", "multi-routing-engine-results", "multi-routing-engine-item", "re-name":
		case "rpc-error", "nc:rpc-error", "xnm:error", "output", "cli":
			return ""
		default:
			return name
		}
	}
}

// filling is what makes a reply long: subscribers' interfaces in one of
// interfaces, in others the payload's own content again and again.
func filling(doc, head []byte, noise bool) (open, unit, shut []byte) {
	name := payloadName(doc)
	if name != "interface-information" {
		start := bytes.LastIndex(head, []byte("<"+name))
		return nil, head[start+bytes.IndexByte(head[start:], '\n')+1:], nil
	}
	w := &writer{}
	w.in("logical-interface", func() {
		w.block("name", fmt.Sprintf("demux0.%d", firstDemux))
		w.block("admin-status", "up")
		w.block("oper-status", "up")
		if noise {
			w.block("description", string(silence))
		}
		w.in("filter-information", func() {})
		w.in("address-family", func() {
			w.block("address-family-name", "inet")
			w.in("interface-address", func() { w.block("ifa-local", "100.64.0.1") })
		})
	})
	return []byte("<physical-interface>\n<name>\ndemux0\n</name>\n<admin-status>\nup\n</admin-status>\n<oper-status>\nup\n</oper-status>\n"),
		w.buf.Bytes(), []byte("</physical-interface>\n")
}

// stream writes a document of any length. It holds back the end until the hash
// of all is in the log.
type stream struct {
	f    *framer
	b    *bufio.Writer
	hash hash.Hash
	rand *rand.ChaCha8
	size int64
	err  error // the first; nothing is written after it
}

func newStream(f *framer) *stream {
	b := bufio.NewWriterSize(f.w, hugeBlock)
	return &stream{f: f.through(b), b: b, hash: sha256.New(), rand: rand.NewChaCha8([32]byte{})}
}

func (s *stream) write(parts ...[]byte) {
	for _, p := range parts {
		if s.err != nil || len(p) == 0 {
			continue
		}
		s.hash.Write(p)
		s.size += int64(len(p))
		s.err = s.f.begin(p, len(p))
	}
}

// repeat writes a unit n times, many in a block. A number in the unit that is
// firstDemux counts up, and silence in it becomes noise.
func (s *stream) repeat(unit []byte, n int64) {
	many := max(1, hugeBlock/len(unit))
	block := bytes.Repeat(unit, many)
	at, quiet := bytes.Index(unit, strconv.AppendInt(nil, firstDemux, 10)), bytes.Index(unit, silence)
	for done := int64(0); done < n && s.err == nil; done += int64(many) {
		for i := range many {
			if at >= 0 {
				number := firstDemux + (done+int64(i))%(3*firstDemux)
				strconv.AppendInt(block[:i*len(unit)+at], number, 10)
			}
			if quiet >= 0 {
				s.noise(block[i*len(unit)+quiet:][:len(silence)])
			}
		}
		s.write(block[:int64(len(unit))*min(int64(many), n-done)])
	}
}

// finish logs the document, writes its end and what ends the message.
func (s *stream) finish(d *Device, doc document, end []byte) error {
	if s.err != nil {
		return s.err
	}
	s.hash.Write(end)
	s.size += int64(len(end))
	if err := d.fleet.sent.addSum(d.Name, doc.rpc, doc.item, [sha256.Size]byte(s.hash.Sum(nil)), s.size); err != nil {
		return err
	}
	if s.err = s.f.begin(end, len(end)); s.err == nil {
		s.err = s.f.end()
	}
	if s.err == nil {
		s.err = s.b.Flush()
	}
	return s.err
}
