package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/release"
	"lwc/transport/wire"
)

func FuzzOrder(f *testing.F) {
	for _, s := range []string{`{"v":1,"job":"01ARZ3NDEKTSV4RRFFQ69G5FAV","release":"1.2.0","files":"/x"}`, `{"v":1,"job":"01ARZ3NDEKTSV4RRFFQ69G5FAV","factory_reset":true}`, `{"v":2}`, `[]`, ``} {
		f.Add([]byte(s + "\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := readOrder(bytes.NewReader(text))
		if err == nil && (o.V != 1 || wire.CheckID(o.Job) != nil || o.Release != "" && release.CheckVersion(o.Release) != nil) {
			t.Errorf("%+v", o)
		}
	})
}

// Who asks what this program is gets an answer, on any machine.
func TestHelp(t *testing.T) {
	for _, arg := range []string{"help", "-h", "--help"} {
		var out strings.Builder
		if err := run(t.Context(), []string{arg}, strings.NewReader(""), &out); err != nil || out.String() != usage {
			t.Errorf("%s: %v, %q", arg, err, &out)
		}
	}
	if err := run(t.Context(), []string{"--what"}, strings.NewReader(""), io.Discard); err == nil {
		t.Error("--what is taken")
	}
}

func TestOrders(t *testing.T) {
	id := wire.NewID()
	for text, words := range map[string]string{
		`{"v":1,"job":"` + id + `","release":"1.2.0"}`:  "",
		`{"v":1,"job":"` + id + `","release":"1.2"}`:    "no version",
		`{"v":1,"job":"` + id + `","release":"../1.2"}`: "no version",
		`{"v":1,"job":"../x"}`:                          "it has no job",
		`{"v":2,"job":"` + id + `"}`:                    "format is 2",
		`hello`:                                         "invalid character",
		strings.Repeat(" ", maxOrder):                   "EOF",
	} {
		if _, err := readOrder(strings.NewReader(text + "\n")); fmt.Sprint(err) == "<nil>" != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%.60s: %v, want %q", text, err, words)
		}
	}
}

// Regression: the worker's standard input is a socket that blocks, which takes no
// deadline. An order that comes too slowly, or not at all, or has no end, is given up.
func TestOrderThatDoesNotCome(t *testing.T) {
	good := []byte(`{"v":1,"job":"` + wire.NewID() + `","release":"1.2.0"}` + "\n")
	for about, c := range map[string]struct {
		send  []byte
		drip  bool
		words string
	}{
		"at once":      {send: good},
		"never":        {words: "it did not come within 50ms"},
		"drop by drop": {drip: true, words: "it did not come within 50ms"},
		"without end":  {send: bytes.Repeat([]byte("x"), 2*maxOrder), words: "EOF"},
	} {
		t.Run(about, func(t *testing.T) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			in, out := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "lwcd")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, err := out.Write(c.send)
				for tick := time.Tick(time.Millisecond); c.drip && err == nil; <-tick { // until nobody reads any more
					_, err = out.Write([]byte(" "))
				}
			}()
			limit := 50 * time.Millisecond
			if c.words == "" {
				limit = time.Minute
			}
			o, err := readWithin(in, limit)
			if fmt.Sprint(err) == "<nil>" != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) || err == nil && o.Release != "1.2.0" {
				t.Errorf("%+v, %v", o, err)
			}
			in.Close()
			<-sent
			out.Close()
		})
	}
}

// The relay hands the order over and passes on each answer; its end is the worker's
// last word, or the end of the context.
func TestRelay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line := make([]byte, 6)
			_, _ = io.ReadFull(c, line) // a short one shows below
			heard <- string(line)
			fmt.Fprintln(c, "an answer")
			if string(line) != "stays\n" {
				c.Close()
			}
		}
	}()
	var out bytes.Buffer
	if err := relay(t.Context(), path, strings.NewReader("order\n"), &out); err != nil || out.String() != "an answer\n" || <-heard != "order\n" {
		t.Errorf("%v, %q", err, out.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-heard; cancel() }()
	if err := relay(ctx, path, strings.NewReader("stays\n"), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := relay(t.Context(), path+"x", strings.NewReader(""), io.Discard); err == nil || !strings.Contains(err.Error(), "reaching the worker") {
		t.Errorf("%v", err)
	}
}

// Two orders at once: the second waits for the first.
func TestOneAtATime(t *testing.T) {
	r := newRig(t)
	var out bytes.Buffer
	unlock, err := r.lock(t.Context(), mouth{&out})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.lock(ctx, mouth{&out}); !errors.Is(err, context.DeadlineExceeded) || strings.Count(out.String(), "waiting for another order") != 1 {
		t.Errorf("%v, %s", err, out.String())
	}
	unlock()
	if unlock, err = r.lock(t.Context(), mouth{&out}); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// The disk below a device mapping is found by sysfs alone.
func TestDiskOf(t *testing.T) {
	sys := t.TempDir()
	at := filepath.Join(sys, "devices/pci/virtio1/block/vda/vda2")
	info := device(t, t.TempDir())
	for _, step := range []error{
		os.MkdirAll(at, 0o700), os.WriteFile(filepath.Join(at, "partition"), []byte("2\n"), 0o600),
		os.MkdirAll(filepath.Join(sys, "dev/block", info, "slaves"), 0o700),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if _, err := diskOf(sys, t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no partition") {
		t.Errorf("%v", err)
	}
	if err := os.Symlink(at, filepath.Join(sys, "dev/block", info, "slaves/vda2")); err != nil {
		t.Fatal(err)
	}
	if disk, err := diskOf(sys, t.TempDir()); err != nil || disk != "/dev/vda" {
		t.Errorf("%s, %v", disk, err)
	}
}

// device returns the number of the device below a folder.
func device(t *testing.T, folder string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
}
