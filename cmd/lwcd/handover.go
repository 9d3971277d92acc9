package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What goes over the connection to a half that systemd starts, before the lines of the
// package halves: one byte, and with it the namespaces of the two ports. Their names
// would mean nothing to the half: they stand in the supervisor's own mount namespace.
const (
	handoverMark = 'n'
	// handoverLimit is how long either side may take: systemd starts the half meanwhile.
	handoverLimit = 10 * time.Second
	namespaces    = 2
)

// errHandover says that a connection did not begin as it has to.
var errHandover = errors.New("the namespaces of the two ports were not handed over")

// handOver sends the namespaces.
func handOver(conn *net.UnixConn, spaces []*os.File) error {
	if err := conn.SetWriteDeadline(time.Now().Add(handoverLimit)); err != nil {
		return err
	}
	var fds []int
	for _, f := range spaces {
		fds = append(fds, int(f.Fd()))
	}
	_, _, err := conn.WriteMsgUnix([]byte{handoverMark}, unix.UnixRights(fds...), nil)
	return errors.Join(err, conn.SetWriteDeadline(time.Time{}))
}

// takeOver receives what handOver sent. The caller closes the files.
func takeOver(conn *net.UnixConn) ([]*os.File, error) {
	if err := conn.SetReadDeadline(time.Now().Add(handoverLimit)); err != nil {
		return nil, err
	}
	mark, control := make([]byte, 1), make([]byte, unix.CmsgSpace(namespaces*4)) // 4 bytes a descriptor
	n, more, flags, _, err := conn.ReadMsgUnix(mark, control)                    // it sets close-on-exec (net/fd_posix.go)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHandover, err)
	}
	files, err := rights(control[:more])
	if err == nil && (n != 1 || mark[0] != handoverMark || flags&unix.MSG_CTRUNC != 0 || len(files) != namespaces) {
		err = fmt.Errorf("%w: %d bytes and %d descriptors came", errHandover, n, len(files))
	}
	if err = errors.Join(err, conn.SetReadDeadline(time.Time{})); err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

// rights are the descriptors of a control message.
func rights(control []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHandover, err)
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // another kind of message
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "namespace"))
		}
	}
	return files, nil
}

// closeFiles lets files go that were read from at most.
func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
