package netguard

import (
	"bytes"
	"encoding/binary"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// header returns a netlink message of that size caused by that port id.
func header(size, id uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, size)
	b = append(b, make([]byte, 8)...)
	b = binary.NativeEndian.AppendUint32(b, id)
	return append(b, make([]byte, (max(size, 16)-16+3)&^3)...)
}

func TestAllFrom(t *testing.T) {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := []struct {
		name string
		b    []byte
		want bool
	}{
		{"own", header(20, 7), true},
		{"two own, the first padded", join(header(17, 7), header(16, 7)), true},
		{"another's", header(16, 8), false},
		{"own, then another's", join(header(20, 7), header(16, 8)), false},
		{"empty", nil, false},
		{"cut", header(20, 7)[:18], false},
		{"length of nothing", header(0, 7), false},
		{"length beyond the end", join(header(16, 7), header(4096, 7)[:16]), false},
	}
	for _, tt := range tests {
		if got := allFrom(tt.b, 7); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// What is taken for our own must be so from the first byte to the last header.
func FuzzAllFrom(f *testing.F) {
	f.Add(header(20, 7), uint32(7))
	f.Add(append(header(20, 7), header(16, 8)...), uint32(7))
	f.Fuzz(func(t *testing.T, b []byte, id uint32) {
		if !allFrom(b, id) {
			return
		}
		messages, err := syscall.ParseNetlinkMessage(b)
		if err != nil {
			return // a stricter parser would have swept
		}
		for _, m := range messages {
			if m.Header.Pid != id {
				t.Errorf("a message of %d passed for one of %d: %x", m.Header.Pid, id, b)
			}
		}
	})
}

func FuzzCarriesNonce(f *testing.F) {
	nonce := bytes.Repeat([]byte{9}, nonceLen)
	frame := probeFrame(net.HardwareAddr{2, 0, 0, 0, 0, 1}, nonce)
	f.Add(frame)
	f.Add(frame[:headerLen])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if carriesNonce(b, nonce) && !bytes.Contains(b, nonce) {
			t.Errorf("%x carries no nonce", b)
		}
	})
}

func TestProbeFrame(t *testing.T) {
	nonce, other := bytes.Repeat([]byte{9}, nonceLen), bytes.Repeat([]byte{8}, nonceLen)
	b := probeFrame(net.HardwareAddr{2, 0, 0, 0, 0, 1}, nonce)
	if len(b) < minFrame || !carriesNonce(b, nonce) || carriesNonce(b, other) || carriesNonce(b[:40], nonce) {
		t.Errorf("frame %x", b)
	}
	b[12] = 0
	if carriesNonce(b, nonce) {
		t.Error("a frame of another type is taken for a probe")
	}
}

func FuzzParseStrays(f *testing.F) {
	f.Add(header(16+diagMessageLen, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := syscall.ParseNetlinkMessage(b)
		if err != nil {
			return
		}
		all, _, err := parseStrays(messages, unix.IPPROTO_TCP)
		if len(all) > len(messages) || err == nil && len(all) == 0 && len(messages) == 1 && messages[0].Header.Type == sockDiagByFamily {
			t.Errorf("%d sockets of %d messages, %v", len(all), len(messages), err)
		}
	})
}
