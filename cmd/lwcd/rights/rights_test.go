package rights

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

func pair(t *testing.T) (near, far *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// A file arrives as the same one with its text; more files than are wanted are refused,
// and none of them stays open.
func TestSend(t *testing.T) {
	near, far := pair(t)
	file, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, count := range []int{0, 1, 2} {
		var files []*os.File
		for range count {
			files = append(files, file)
		}
		if err := Send(near, []byte("text"), files...); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		n, got, err := Receive(far, b, 2)
		if err != nil || string(b[:n]) != "text" || len(got) != count {
			t.Fatalf("%d files: %q, %d, %v", count, b[:n], len(got), err)
		}
		for _, g := range got {
			was, err := file.Stat()
			is, gerr := g.Stat()
			if err := errors.Join(err, gerr, g.Close()); err != nil || !os.SameFile(was, is) {
				t.Errorf("another file came: %v", err)
			}
		}
	}
	before := open(t)
	for range 10 {
		if err := Send(near, []byte("text"), file, file, file, file); err != nil {
			t.Fatal(err)
		}
		if _, got, err := Receive(far, make([]byte, 10), 2); !errors.Is(err, ErrTooMany) || got != nil {
			t.Errorf("too many: %v", err)
		}
	}
	if now := open(t); now != before {
		t.Errorf("%d files are open, %d were", now, before)
	}
}

// open counts the descriptors of the process.
func open(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
