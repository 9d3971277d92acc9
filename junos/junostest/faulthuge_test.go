package junostest

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// TestHuge has replies of an exact length, well formed, in the log as they came.
func TestHuge(t *testing.T) {
	const terse = "get-interface-information><terse/></get-interface-information"
	for _, tt := range []struct {
		fault    Fault
		op, item string
		size     int // exactly; 0: as long as it is by itself, or with one more interface
	}{
		{"huge:300KB", terse, "show-interfaces-terse", 300_000},
		{"huge:1MiB:show-chassis-hardware-extensive", "get-chassis-inventory><extensive/></get-chassis-inventory", "show-chassis-hardware-extensive", 1 << 20},
		{"huge:100KB:*", "get-alarm-information/", "show-chassis-alarms", 100_000},
		{"huge:400KB:noise", terse, "show-interfaces-terse", 400_000},
		{"huge:10", terse, "show-interfaces-terse", 0},
		{"huge:300KB", "get-alarm-information/", "show-chassis-alarms", 0},
	} {
		bothFramings(t, tt.fault, func(t *testing.T, f *Fleet, d *Device) {
			ch := talk(t, f, d)
			utter(t, ch, framed(d, `<rpc message-id="1"><`+tt.op+`></rpc>`)+framed(d, `<rpc message-id="2"><close-session/></rpc>`))
			text, err := io.ReadAll(ch)
			if err != nil {
				t.Fatal(err)
			}
			doc := firstMessage(t, d, text)
			sent := sentOnce(t, f, tt.item)
			if sent.Bytes != int64(len(doc)) || sent.SHA256 != sumOf(string(doc)) {
				t.Errorf("%s: %d bytes came, sent %+v", tt.item, len(doc), sent)
			}
			if tt.size > 0 && len(doc) != tt.size || len(doc) < 300 {
				t.Errorf("%s of %s is %d bytes long", tt.item, tt.fault, len(doc))
			}
			wellFormed(t, doc)
			if tt.size == 400_000 {
				if n := deflated(t, doc); n < len(doc)*3/5 || bytes.Contains(doc, silence) {
					t.Errorf("noise of %d bytes can be compressed to %d", len(doc), n)
				}
				return
			}
			if n := bytes.Count(doc, []byte("demux0.10737")); tt.size == 300_000 && (n < 500 || !bytes.Contains(doc, fmt.Appendf(nil, "demux0.%d\n", firstDemux+n-1))) {
				t.Errorf("%d interfaces of subscribers, not counted up", n)
			}
			if tt.item == "show-interfaces-terse" && bytes.Contains(doc, bytes.Repeat([]byte("\n"), 500)) {
				t.Error("it is stuffed with line feeds")
			}
		})
	}
}

// deflated is how long a document is when it is compressed.
func deflated(t *testing.T, doc []byte) int {
	t.Helper()
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	if _, err := w.Write(doc); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// firstMessage takes the framing off; a reply may be longer than what framer reads.
func firstMessage(t *testing.T, d *Device, text []byte) (doc []byte) {
	t.Helper()
	if !d.plat.rfc {
		doc, _, ok := bytes.Cut(text, []byte(eom))
		if !ok {
			t.Fatalf("no delimiter in %.200q", text)
		}
		return bytes.TrimLeft(doc, "\n")
	}
	for f := framerFor(rw{bytes.NewReader(text), io.Discard}, true); ; {
		size, end, err := f.chunkHeader()
		if err != nil {
			t.Fatal(err)
		}
		if end {
			return doc
		}
		part := make([]byte, size)
		if _, err := io.ReadFull(f.r, part); err != nil {
			t.Fatal(err)
		}
		doc = append(doc, part...)
	}
}

// TestHugeIsNotHeld sends a gigabyte and looks at what the process holds.
func TestHugeIsNotHeld(t *testing.T) {
	d := newFleet(t, Config{Devices: 1, Models: []Model{ACX}}).Devices()[0]
	d.SetFault("huge:1GB")
	req, err := parseRequest([]byte("<rpc><get-interface-information><terse/></get-interface-information></rpc>"))
	if err != nil {
		t.Fatal(err)
	}
	text, item, err := d.answer(req)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := &counter{}
	f := newFramer(rw{strings.NewReader(""), out}, &d.fleet.buffers)
	f.mode = chunked
	if err := d.deliver(t.Context(), f, document{"get", item, text}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 || out.n < 1_000_000_000 {
		t.Errorf("%d bytes written, %d allocated", out.n, grown)
	}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// BenchmarkHuge makes, hashes and frames a reply of 100 MB.
func BenchmarkHuge(b *testing.B) {
	d := newFleet(b, Config{Devices: 1, Models: []Model{ACX}}).Devices()[0]
	d.SetFault("huge:100MB")
	doc := document{"get", "show-interfaces-terse", []byte("<rpc-reply>\n<interface-information>\n</interface-information>\n</rpc-reply>\n")}
	b.SetBytes(100_000_000)
	for b.Loop() {
		if err := d.deliver(b.Context(), newFramer(rw{strings.NewReader(""), io.Discard}, &d.fleet.buffers), doc); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPayloadNames(t *testing.T) {
	for doc, want := range map[string]string{
		"<rpc-reply a=\"1\">\n<software-information>\n": "software-information",
		"<nc:rpc-reply>\n\n<multi-routing-engine-results>\n\n<multi-routing-engine-item>\n\n<re-name>node0</re-name>\n\n<x y=\"<\"/>": "x",
		"<rpc-reply>\n<rpc-error>": "",
		"<rpc-reply>\n<output>":    "",
		"<rpc-reply></rpc-reply>":  "",
		"<":                        "",
		"":                         "",
	} {
		if got := payloadName([]byte(doc)); got != want {
			t.Errorf("%q: %q, want %q", doc, got, want)
		}
	}
	if _, _, ok := cutPayload([]byte(fmt.Sprintf("<rpc-reply>\n<rpc-error>%s</rpc-error>\n</rpc-reply>", "x"))); ok {
		t.Error("an error is made long")
	}
}
