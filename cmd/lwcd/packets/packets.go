// Package packets lets lwcd have packet sockets in the namespaces of its ports without
// the right to make any: another process does, behind a Unix socket that only root can
// reach.
//
// [Remote] asks, one connection for each socket; [Serve] answers one connection. The
// server makes sockets of the kinds that netguard has, and none in the namespace of who
// asks.
package packets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/rights"
	"lwc/netguard"
)

const (
	// limit is how long the process may take for its one connection.
	limit = 15 * time.Second
	// patience is how long one attempt may take: systemd starts that process meanwhile,
	// which on a slow machine that is just starting takes several seconds.
	patience = 30 * time.Second
	// attempts make good what goes wrong once with the start of that process.
	attempts = 2
	// maxLine bounds a line of either side: they have some 150 bytes.
	maxLine = 1 << 10
	version = 1
)

var (
	// ErrSilent: nobody makes packet sockets.
	ErrSilent = errors.New("the process that makes packet sockets does not answer (lwc-packet.socket)")
	// errRequest says that a request is not as it has to be.
	errRequest = errors.New("a request for a packet socket has one line and one network namespace")
)

type request struct {
	V    int                 `json:"v"`
	Kind netguard.PacketKind `json:"kind"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	// Errno is the kernel's word, where it gave one.
	Errno syscall.Errno `json:"errno,omitempty"`
}

// Remote makes packet sockets behind the socket of that path. It implements
// netguard.Packets.
type Remote struct{ Path string }

// Socket implements netguard.Packets.
func (r Remote) Socket(ctx context.Context, space *os.File, kind netguard.PacketKind) (file *os.File, err error) {
	for range attempts {
		if file, err = r.ask(ctx, space, kind); !errors.Is(err, ErrSilent) || ctx.Err() != nil {
			break
		}
	}
	return file, err
}

func (r Remote) ask(ctx context.Context, space *os.File, kind netguard.PacketKind) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.Path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var a answer
	err = send(conn, request{V: version, Kind: kind}, space)
	var files []*os.File
	if err == nil {
		files, err = receive(conn, &a)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrSilent, err)
	case a.Error == "" && len(files) == 1:
		return files[0], nil
	}
	closeAll(files)
	return nil, a.refusal()
}

// refusal is the answer as an error.
func (a answer) refusal() error {
	err := fmt.Errorf("the process that makes packet sockets says: %.200q", a.Error)
	if a.Errno != 0 {
		err = fmt.Errorf("%w: %w", err, a.Errno)
	}
	return err
}

// Maker makes a socket as netguard.PacketSocketIn does.
type Maker func(space *os.File, kind netguard.PacketKind, home uint64) (*os.File, error)

// Serve answers one request. The error is also told to who asks.
func Serve(conn *net.UnixConn, packetSocket Maker) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("serving a packet socket: %w", err)
	}
	file, err := serve(conn, packetSocket)
	var a answer
	if err != nil {
		a.Error = err.Error()
		errors.As(err, &a.Errno)
		return errors.Join(fmt.Errorf("serving a packet socket: %w", err), send(conn, a))
	}
	defer file.Close()
	if err := send(conn, a, file); err != nil {
		return fmt.Errorf("serving a packet socket: %w", err)
	}
	return nil
}

func serve(conn *net.UnixConn, packetSocket Maker) (*os.File, error) {
	home, err := cookie(conn)
	if err != nil {
		return nil, err
	}
	var r request
	files, err := receive(conn, &r)
	defer func() { closeAll(files) }()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if r.V != version || len(files) != 1 {
		return nil, fmt.Errorf("%w: version %d with %d descriptors came", errRequest, r.V, len(files))
	}
	return packetSocket(files[0], r.Kind, home)
}

// cookie is that of the namespace of who connected, which is the machine's: a
// connection is a socket of that namespace at both ends.
func cookie(conn *net.UnixConn) (uint64, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var value uint64
	var failed error
	err = raw.Control(func(fd uintptr) {
		value, failed = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	return value, errors.Join(err, os.NewSyscallError("getsockopt SO_NETNS_COOKIE", failed))
}

// send sends a line, and files with it.
func send(conn *net.UnixConn, v any, files ...*os.File) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return rights.Send(conn, append(text, '\n'), files...)
}

// receive reads what send sent: one line and one file at most. The caller closes them.
func receive(conn *net.UnixConn, v any) ([]*os.File, error) {
	b := make([]byte, maxLine)
	n, files, err := rights.Receive(conn, b, 1)
	if err != nil {
		return nil, err
	}
	line, whole := bytes.CutSuffix(b[:n], []byte("\n"))
	if !whole {
		err = fmt.Errorf("%d bytes that are no line came", n)
	} else {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nobody used it
	}
}
