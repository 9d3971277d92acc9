package packets

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lwc/cmd/lwcd/rights"
	"lwc/netguard"
)

// listen serves each connection as serve does, until the test ends.
func listen(t *testing.T, serve func(*net.UnixConn)) Remote {
	t.Helper()
	r := Remote{Path: filepath.Join(t.TempDir(), "packet.sock")}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.Path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return r
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What is made arrives, and what went wrong does with the kernel's word.
func TestSocket(t *testing.T) {
	var homes []uint64
	r := listen(t, func(c *net.UnixConn) {
		_ = Serve(c, func(space *os.File, kind netguard.PacketKind, home uint64) (*os.File, error) {
			homes = append(homes, home)
			if kind != netguard.LeasePackets {
				return nil, os.NewSyscallError("socket", syscall.EAFNOSUPPORT)
			}
			return os.Open("/proc/self/status")
		})
	})
	space := open(t, "/proc/self/ns/net")
	file, err := r.Socket(t.Context(), space, netguard.LeasePackets)
	if err != nil || file == nil {
		t.Fatalf("%v, %v", file, err)
	}
	file.Close()
	file, err = r.Socket(t.Context(), space, netguard.ProbePackets)
	if file != nil || !errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, ErrSilent) {
		t.Errorf("%v, %v", file, err)
	}
	if len(homes) != 2 || homes[0] == 0 || homes[0] != homes[1] {
		t.Errorf("the namespace of who asks: %v", homes)
	}
}

// Nobody who answers, one who ends and one whose answer is none are told alike, after
// another attempt; a caller who has no time is not kept.
func TestSilence(t *testing.T) {
	space := open(t, "/proc/self/ns/net")
	asked := make(chan struct{}, 10)
	for name, c := range map[string]struct {
		serve func(*net.UnixConn)
		want  int
	}{
		"ends":    {func(c *net.UnixConn) { asked <- struct{}{}; c.Close() }, attempts},
		"mutters": {func(c *net.UnixConn) { asked <- struct{}{}; _, _ = c.Write([]byte("no line")); c.Close() }, attempts},
		"gives none": {func(c *net.UnixConn) {
			asked <- struct{}{}
			files, _ := receive(c, &request{}) // what is not read makes its end a reset
			closeAll(files)
			_ = send(c, answer{})
			c.Close()
		}, 1},
	} {
		r := listen(t, c.serve)
		file, err := r.Socket(t.Context(), space, netguard.LeasePackets)
		if file != nil || err == nil || (c.want == attempts) != errors.Is(err, ErrSilent) {
			t.Errorf("%s: %v", name, err)
		}
		for range c.want {
			<-asked
		}
		if len(asked) > 0 {
			t.Errorf("%s: asked too often", name)
		}
	}
	if _, err := (Remote{Path: filepath.Join(t.TempDir(), "none")}).Socket(t.Context(), space, netguard.LeasePackets); !errors.Is(err, ErrSilent) {
		t.Errorf("nobody: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	held := make(chan *net.UnixConn, 1)
	began := time.Now()
	_, err := listen(t, func(c *net.UnixConn) { held <- c }).Socket(ctx, space, netguard.LeasePackets)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > limit/2 {
		t.Errorf("one who says nothing: %v after %v", err, time.Since(began))
	}
	(<-held).Close()
}

// Whatever is no request of one line with one descriptor is refused, and nothing made.
func TestRequests(t *testing.T) {
	space := open(t, "/proc/self/ns/net")
	for name, c := range map[string]struct {
		text  string
		files []*os.File
	}{
		"no descriptor":   {`{"v":1,"kind":"lease"}` + "\n", nil},
		"two descriptors": {`{"v":1,"kind":"lease"}` + "\n", []*os.File{space, space, space}},
		"another version": {`{"v":2,"kind":"lease"}` + "\n", []*os.File{space}},
		"no line":         {`{"v":1,"kind":"lease"}`, []*os.File{space}},
		"too long":        {`{"v":1,"kind":"` + strings.Repeat("x", maxLine) + `"}` + "\n", []*os.File{space}},
		"no JSON":         {"lease\n", []*os.File{space}},
	} {
		failed := make(chan error, 1)
		r := listen(t, func(conn *net.UnixConn) {
			failed <- Serve(conn, func(*os.File, netguard.PacketKind, uint64) (*os.File, error) {
				t.Errorf("%s: a socket was made", name)
				return nil, errRequest
			})
		})
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.Path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		if err := rights.Send(conn, []byte(c.text), c.files...); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, errRequest) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
	}
}
