package junostest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"lwc/testdata/need"
)

const helloBoth = `<hello><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability><capability>` + base11 + `</capability></capabilities></hello>]]>]]>`

// talk opens a session by hand with a faulty device, sends hello and requests
// in one write, and returns the channel after the hello of the device.
func talk(t *testing.T, f *Fleet, d *Device, rpcs ...string) channel {
	t.Helper()
	ch, err := netconf(t, logIn(t, f, d))
	if err != nil {
		t.Fatal(err)
	}
	readTo(t, ch, eom)
	text := helloBoth
	for i, rpc := range rpcs {
		text += framed(d, fmt.Sprintf(`<rpc message-id="%d"><%s/></rpc>`, i+1, rpc))
	}
	utter(t, ch, text)
	return ch
}

func utter(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// framed is a message in the framing that a device and helloBoth agree on.
func framed(d *Device, text string) string {
	if !d.plat.rfc {
		return text + eom
	}
	return fmt.Sprintf("\n#%d\n%s\n##\n", len(text), text)
}

// readReply reads one reply without its framing, which must be right.
func readReply(t *testing.T, d *Device, ch channel) string {
	t.Helper()
	f := framerFor(rw{ch, io.Discard}, d.plat.rfc)
	doc, err := f.read()
	if err != nil {
		t.Fatalf("reading a reply: %v after %.200q", err, doc)
	}
	return strings.TrimLeft(string(doc), "\n")
}

// sentOnce is the hash of the one document in the log, which has an item.
func sentOnce(t *testing.T, f *Fleet, item string) SentDocument {
	t.Helper()
	var all []SentDocument
	for _, s := range f.Sent() {
		if s.Item == item {
			all = append(all, s)
		}
	}
	if len(all) != 1 {
		t.Fatalf("the log has %+v", all)
	}
	return all[0]
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestSpoiltReplies holds what arrives against the log: the log has the bytes
// as they were sent, whatever is wrong with them; a byte order mark stands before
// them.
func TestSpoiltReplies(t *testing.T) {
	for fault, want := range map[Fault]func(string) bool{
		BOM:               func(s string) bool { return strings.HasPrefix(s, "\xef\xbb\xbf<") && parses([]byte(s[3:])) == nil },
		BadUTF8:           func(s string) bool { return strings.Contains(s, "\xff\xfe\xc3</") && parses([]byte(s)) != nil },
		WrongID:           func(s string) bool { return strings.Contains(s, `message-id="91"`) && parses([]byte(s)) == nil },
		"truncate:framed": func(s string) bool { return parses([]byte(s)) != nil && len(s) > 100 },
		Splits:            func(s string) bool { return parses([]byte(s)) == nil },
		"splits:1":        func(s string) bool { return parses([]byte(s)) == nil },
		"drip:100000":     func(s string) bool { return parses([]byte(s)) == nil },
		NoFault:           func(s string) bool { return parses([]byte(s)) == nil },
	} {
		bothFramings(t, fault, func(t *testing.T, f *Fleet, d *Device) {
			doc := readReply(t, d, talk(t, f, d, "get-software-information"))
			text := strings.TrimPrefix(doc, byteOrderMark)
			if sent := sentOnce(t, f, "show-version"); !want(doc) || sent.SHA256 != sumOf(text) || sent.Bytes != int64(len(text)) {
				t.Errorf("%s: %q, sent %+v", fault, doc, sent)
			}
		})
	}
}

// TestSplitsAreCut counts the writes that a document and its framing take.
func TestSplitsAreCut(t *testing.T) {
	for fault, most := range map[Fault]int{"splits:3": 3, Splits: 1024} {
		_, d := faultyDevice(t, ACX, fault)
		for _, m := range []mode{delimited, chunked} {
			var w writes
			f := newFramer(rw{strings.NewReader(""), &w}, &d.fleet.buffers)
			f.mode = m
			doc := strings.Repeat("<a>b</a>", 10_000)
			if err := f.through(d.outlet(t.Context(), &w, d.fault.v.Load())).write([]byte(doc)); err != nil {
				t.Fatal(err)
			}
			longest, framing := 0, 0
			for _, p := range w {
				longest = max(longest, len(p))
				framing += bytes.Count(p, []byte(eom)) + bytes.Count(p, []byte("##"+"\n"))
			}
			back, err := framerFor(rw{bytes.NewReader(bytes.Join(w, nil)), io.Discard}, m == chunked).read()
			if longest > most || framing > 0 || len(w) < 80_000/most || err != nil || string(back) != doc {
				t.Errorf("%s, mode %d: %d writes, longest %d, %d whole ends, %d bytes back: %v", fault, m, len(w), longest, framing, len(back), err)
			}
		}
	}
}

type writes [][]byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, bytes.Clone(p))
	return len(p), nil
}

// TestStallsOfASession waits for what does not come.
func TestStallsOfASession(t *testing.T) {
	for _, fault := range []Fault{StallHello, Stall, StallMid, "drip:5"} {
		bothFramings(t, fault, func(t *testing.T, f *Fleet, d *Device) {
			ch, err := netconf(t, logIn(t, f, d))
			if err != nil {
				t.Fatal(err)
			}
			if fault != StallHello {
				readTo(t, ch, eom)
				utter(t, ch, helloBoth+framed(d, `<rpc message-id="1"><get-software-information/></rpc>`))
			}
			got := make(chan string, 1)
			go func() { text, _ := io.ReadAll(ch); got <- string(text) }()
			time.AfterFunc(aMoment, func() { ch.Close() })
			text := <-got
			full := len(d.replyTo(t, "get-software-information"))
			if most := map[Fault]int{StallHello: 0, Stall: 1, StallMid: full/2 + 20, "drip:5": 8}[fault]; len(text) > most ||
				fault == StallMid && len(text) < full/2 {
				t.Errorf("%d bytes arrive: %.300q", len(text), text)
			}
		})
	}
}

// replyTo is the reply to a plain rpc with message-id 1.
func (d *Device) replyTo(t *testing.T, op string) string {
	t.Helper()
	req, err := parseRequest([]byte(`<rpc message-id="1"><` + op + `/></rpc>`))
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := d.answer(req)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func TestDisconnect(t *testing.T) {
	bothFramings(t, Disconnect, func(t *testing.T, f *Fleet, d *Device) {
		var seen error
		c := logInWatched(t, d, &seen)
		ch, err := netconf(t, c)
		if err != nil {
			t.Fatal(err)
		}
		readTo(t, ch, eom)
		utter(t, ch, helloBoth+framed(d, `<rpc message-id="1"><get-software-information/></rpc>`))
		text, _ := io.ReadAll(ch)
		_ = c.Wait()
		if !errors.Is(seen, syscall.ECONNRESET) {
			t.Errorf("the connection ends with %v", seen)
		}
		if len(text) > len(d.replyTo(t, "get-software-information")) {
			t.Errorf("%d bytes arrive", len(text))
		}
		sentOnce(t, f, "show-version")
	})
}

func TestWrongFraming(t *testing.T) {
	for _, tt := range []struct {
		m     Model
		fault Fault
		start string
	}{
		{MXDualRE, WrongFraming, "\n#"},
		{ACX, WrongFraming, "<nc:rpc-reply"},
		{ACX, "wrong-framing:zero", "\n#0\n<"},
		{ACX, "wrong-framing:header", "\n#99999999999999999999\n<"},
		{ACX, "wrong-framing:size", "\n#"},
		{MXDualRE, "wrong-framing:zero", "\n#0\n<"},
	} {
		f, d := faultyDevice(t, tt.m, tt.fault)
		ch := talk(t, f, d, "get-software-information", "close-session")
		if !d.plat.rfc {
			readTo(t, ch, "\n") // that the hello ends with
		}
		text, err := io.ReadAll(ch)
		if err != nil || !strings.HasPrefix(string(text), tt.start) {
			t.Errorf("%s of %s: %v, %.60q", tt.fault, tt.m, err, text)
		}
		if _, err := framerFor(rw{bytes.NewReader(text), io.Discard}, d.plat.rfc).read(); err == nil && tt.start != "<nc:rpc-reply" {
			t.Errorf("%s of %s is framed well", tt.fault, tt.m)
		}
	}
}

func TestErrorHello(t *testing.T) {
	for fault, want := range map[Fault]bool{ErrorHello: true, "error-hello:only": false} {
		bothFramings(t, fault, func(t *testing.T, f *Fleet, d *Device) {
			ch, err := netconf(t, logIn(t, f, d))
			if err != nil {
				t.Fatal(err)
			}
			hello := readTo(t, ch, eom)
			if strings.Contains(hello, "capabilities>") != want || !strings.HasPrefix(hello, "<rpc-error") {
				t.Errorf("%s: %q", fault, hello)
			}
			if !want {
				if rest, err := io.ReadAll(ch); err != nil || len(rest) > 0 {
					t.Errorf("after it: %q, %v", rest, err)
				}
			}
		})
	}
}

// TestWaysIn asks each device that lacks some of them for all.
func TestWaysIn(t *testing.T) {
	program := need.Program(t, "ssh")
	for fault, want := range map[Fault]struct {
		subsystem bool
		exec      string
	}{
		NoFault:         {true, "<nc:hello"},
		NoSubsystem:     {false, "<nc:hello"},
		CLIOnly:         {false, ""},
		"cli-only:text": {false, "error: permission denied: xml-mode"},
		NoNETCONF:       {false, ""},
	} {
		f, d := faultyDevice(t, ACX, fault)
		_, err := netconf(t, logIn(t, f, d))
		if (err == nil) != want.subsystem {
			t.Errorf("%s: subsystem: %v", fault, err)
		}
		config := sshFiles(t, f)
		out, _ := runClient(t, "", program, "-F", config, d.Name, "xml-mode netconf need-trailer")
		if !strings.HasPrefix(strings.TrimSpace(out), want.exec) || want.exec == "" && out != "" {
			t.Errorf("%s: xml-mode: %.100q", fault, out)
		}
		if out, err := runClient(t, "", program, "-F", config, d.Name, "show version | display xml | no-more"); err != nil || !strings.Contains(out, d.Release) {
			t.Errorf("%s: CLI: %v, %.100q", fault, err, out)
		}
	}
}

// TestPipelining sends all requests at once. A device answers in order, unless
// it objects.
func TestPipelining(t *testing.T) {
	ops := []string{"get-software-information", "get-alarm-information", "get-system-uptime-information", "close-session"}
	bothFramings(t, NoFault, func(t *testing.T, f *Fleet, d *Device) {
		ch := talk(t, f, d, ops...)
		var in io.Reader = ch
		fr := framerFor(rw{in, io.Discard}, d.plat.rfc)
		for i := range ops {
			doc, err := fr.read()
			if err != nil || !bytes.Contains(doc, fmt.Appendf(nil, `message-id="%d"`, i+1)) {
				t.Fatalf("reply %d: %v, %.200q", i+1, err, doc)
			}
		}
	})
	bothFramings(t, NoPipeline, func(t *testing.T, f *Fleet, d *Device) {
		ch := talk(t, f, d, ops...)
		if text, err := io.ReadAll(ch); err != nil || strings.Contains(string(text), "rpc-reply") {
			t.Errorf("%v, %.200q", err, text)
		}
		ch = talk(t, f, d)
		fr := framerFor(rw{ch, io.Discard}, d.plat.rfc)
		for i, op := range ops {
			utter(t, ch, framed(d, fmt.Sprintf(`<rpc message-id="%d"><%s/></rpc>`, i+1, op))+"\n")
			if doc, err := fr.read(); err != nil || !bytes.Contains(doc, fmt.Appendf(nil, `message-id="%d"`, i+1)) {
				t.Fatalf("one at a time, reply %d: %v, %.200q", i+1, err, doc)
			}
		}
	})
}
