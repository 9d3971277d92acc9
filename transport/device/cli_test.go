package device

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func testCLI(t *testing.T, s *sshd) {
	c, err := quick(t).Dial(t.Context(), Target{Device: s.hop("r1"), AllowCLI: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Info().Mode != ModeCLI {
		t.Fatalf("mode %s", c.Info().Mode)
	}
	for range 3 {
		out, err := c.Run(t.Context(), "show version \\| display xml")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(out)
		if err != nil || string(b) != "<output>version | display xml</output>\n" {
			t.Errorf("%q, %v", b, err)
		}
		out.Close()
	}
	if _, err := c.Read(nil); !errors.Is(err, errNoStream) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Run(t.Context(), "show version\nrequest system reboot"); !errors.Is(err, errCommand) {
		t.Errorf("two commands: %v", err)
	}
	out, err := c.Run(t.Context(), "show fail")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(out)
	if e, ok := errors.AsType[*Error](err); string(b) != "half\n" || !ok || e.Kind != KindClosed {
		t.Errorf("a command that was killed: %q, %v", b, err)
	}
	cancelCommand(t, c)
}

func cancelCommand(t *testing.T, c *Conn) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, err := c.Run(ctx, "show slow")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := out.Read(make([]byte, 16)); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
}
