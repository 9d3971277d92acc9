// Package rights sends descriptors over a Unix connection, with a few bytes that say what
// they are (SCM_RIGHTS, unix(7)).
package rights

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrTooMany says that more descriptors came than were to.
var ErrTooMany = errors.New("more descriptors came than were asked for")

// Send sends the text, and the files with it, in one message.
func Send(conn *net.UnixConn, text []byte, files ...*os.File) error {
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn() // File.Fd would take it out of the runtime's poller
		if err != nil {
			return err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	_, _, err := conn.WriteMsgUnix(text, unix.UnixRights(fds...), nil)
	runtime.KeepAlive(files)
	return err
}

// Receive reads one message into b, and returns its length and the files that came with
// it, which are closed on exec. The caller closes them. More than most are refused.
func Receive(conn *net.UnixConn, b []byte, most int) (int, []*os.File, error) {
	control := make([]byte, unix.CmsgSpace(most*4))        // 4 bytes a descriptor
	n, more, flags, _, err := conn.ReadMsgUnix(b, control) // it sets close-on-exec (net/fd_posix.go)
	if err != nil {
		return 0, nil, err
	}
	files, err := filesOf(control[:more])
	if err == nil && (flags&unix.MSG_CTRUNC != 0 || len(files) > most) {
		err = fmt.Errorf("%w: %d or more descriptors came", ErrTooMany, len(files))
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close() // nobody used it
		}
		return 0, nil, err
	}
	return n, files, nil
}

// filesOf are the descriptors of a control message.
func filesOf(control []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // another kind of message
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handed"))
		}
	}
	return files, nil
}
