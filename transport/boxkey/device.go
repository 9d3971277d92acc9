package boxkey

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"
)

const (
	// answerLimit is how long a TPM may take for an answer. The slowest command here,
	// making a key, may take 2 minutes by the kernel's table (tpm2-cmd.c); no TPM
	// takes more than a few seconds for one of P-256.
	answerLimit = 20 * time.Second
	// maxAnswer is the longest that the kernel passes (TPM_BUFSIZE, drivers/char/tpm/tpm.h).
	maxAnswer = 4096
	// A TPM that is busy is asked again this often, after pauses that double.
	maxTries   = 8
	firstPause = 10 * time.Millisecond
)

// device is a TPM as the kernel shows it, or a TPM in software behind a Unix
// socket. It implements transport.TPMCloser.
type device struct {
	fd      int    // -1: of a socket, which is connected anew for each command
	address string // of a socket
	name    string // for errors
}

// open opens a TPM. The error is ErrNoTPM where there is none to talk to.
func open(path string) (transport.TPMCloser, error) {
	if path == "" {
		return nil, ErrNoTPM
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTPM, err)
	}
	if info.Mode()&os.ModeSocket != 0 {
		return &device{fd: -1, address: path, name: path}, nil
	}
	if info.Mode()&os.ModeCharDevice == 0 {
		return nil, fmt.Errorf("%w: %s is not a device", ErrNoTPM, path)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTPM, &os.PathError{Op: "open", Path: path, Err: err})
	}
	return &device{fd: fd, name: path}, nil
}

// Close implements io.Closer. With the connection goes what was loaded through it.
func (d *device) Close() error {
	if d.fd < 0 {
		return nil
	}
	err := os.NewSyscallError("close", unix.Close(d.fd))
	d.fd = -1
	return err
}

// Send implements transport.TPM. It asks again while the TPM says that it is busy.
func (d *device) Send(command []byte) ([]byte, error) {
	for pause, try := firstPause, 1; ; pause, try = 2*pause, try+1 {
		answer, err := d.once(command)
		if err != nil {
			return nil, fmt.Errorf("%w: asking %s: %w", ErrNoTPM, d.name, err)
		}
		if !busy(answer) || try == maxTries {
			return answer, nil
		}
		time.Sleep(pause)
	}
}

// busy tells of the warnings after which the same command may succeed
// (TPM 2.0 Library, part 2, section 6.6.3).
func busy(answer []byte) bool {
	const headerSize = 10 // tag, size and code, part 1 section 18.2
	if len(answer) < headerSize {
		return false
	}
	code := tpm2.TPMRC(uint32(answer[6])<<24 | uint32(answer[7])<<16 | uint32(answer[8])<<8 | uint32(answer[9]))
	return code == tpm2.TPMRCRetry || code == tpm2.TPMRCYielded || code == tpm2.TPMRCTesting
}

func (d *device) once(command []byte) ([]byte, error) {
	fd := d.fd
	if d.address != "" {
		var err error
		if fd, err = connect(d.address); err != nil {
			return nil, err
		}
		defer unix.Close(fd)
	}
	if fd < 0 {
		return nil, os.ErrClosed
	}
	if _, err := unix.Write(fd, command); err != nil {
		return nil, os.NewSyscallError("write", err)
	}
	if err := await(fd); err != nil {
		return nil, err
	}
	answer := make([]byte, maxAnswer)
	n, err := unix.Read(fd, answer)
	if err != nil {
		return nil, os.NewSyscallError("read", err)
	}
	if n == 0 {
		return nil, errors.New("it said nothing")
	}
	return answer[:n], nil
}

func connect(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return -1, errors.Join(os.NewSyscallError("connect", err), unix.Close(fd))
	}
	return fd, nil
}

// await waits until there is an answer to read.
func await(fd int) error {
	for end := time.Now().Add(answerLimit); ; {
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("no answer within %v", answerLimit)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n > 0:
			return nil
		}
	}
}
