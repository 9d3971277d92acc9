package wall

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a caller may tell apart with errors.Is.
var (
	// ErrUnsupported: the kernel lacks a feature without which there is no wall.
	// The text names the configuration option and the version that have it.
	ErrUnsupported = errors.New("unsupported by this kernel")
	// ErrPrivilege: the process lacks CAP_NET_ADMIN over the namespace, or
	// CAP_SYS_ADMIN to open a socket in it.
	ErrPrivilege = errors.New("missing privilege")
	// ErrOwned: another living process owns the table.
	ErrOwned = errors.New("table is owned by another process")
	// ErrNoLink: the link of the port is not in the namespace.
	ErrNoLink = errors.New("no such link in the namespace")
	// ErrFull: the wall holds as many permitted addresses as it may.
	ErrFull = errors.New("too many permitted addresses")
	// ErrBadPort: the Port or the address cannot be made into rules.
	ErrBadPort = errors.New("not a port to be walled")
)

// kernelError is a refusal of the kernel. It wraps the errno, and one of the
// sentinels where the reason is known.
type kernelError struct {
	doing string // gerund and subject
	errno syscall.Errno
	kind  error  // nil when only the errno is known
	needs string // what has to be there, for ErrUnsupported
	note  string // what the kernel said besides, from its extended acknowledgement
	part  part
}

func (e *kernelError) Error() string {
	s := e.doing + ": "
	if e.kind != nil {
		s += e.kind.Error() + ": "
	}
	s += e.errno.Error()
	if e.note != "" {
		s += " (" + e.note + ")"
	}
	if e.kind == ErrUnsupported && e.needs != "" {
		s += ": needs " + e.needs
	}
	return s
}

func (e *kernelError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.errno}
	}
	return []error{e.kind, e.errno}
}

// openError explains why a socket could not be opened in the namespace.
func openError(err error) error {
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: nftables (CONFIG_NETFILTER_NETLINK and CONFIG_NF_TABLES): %w", ErrUnsupported, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: entering the namespace needs CAP_SYS_ADMIN: %w", ErrPrivilege, err)
	}
	return err
}

// explain names the reason of a refusal where it is known.
func explain(op operation, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return fmt.Errorf("%s: %w", op.doing, err)
	}
	k := &kernelError{doing: op.doing, errno: r.errno, note: r.note, needs: op.needs, part: op.part}
	switch r.errno {
	case unix.EPERM:
		k.kind = ErrPrivilege
	case unix.ENOENT, unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.EINVAL:
		if op.needs != "" {
			k.kind = ErrUnsupported
		}
	}
	return k
}

// readError is explain for what reads only: a kernel without nftables does not
// know the request.
func readError(doing string, err error) error {
	needs := needsTables
	if errors.Is(err, unix.ENOENT) {
		needs = "" // a table that went away meanwhile
	}
	return explain(operation{doing: doing, needs: needs}, err)
}
