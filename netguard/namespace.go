package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds each exchange with the kernel, which answers within
// milliseconds unless the routing lock is held for very long.
const netlinkTimeout = 5 * time.Second

// namespace is one port namespace with the thread that lives in it.
type namespace struct {
	side   Side
	path   string
	joined bool     // it belongs to the guard of another process, which holds the lock
	handed bool     // it came as a descriptor, and path means nothing to this process
	dir    *os.File // the folder of path; reachable after privileges are dropped; nil when handed
	file   *os.File // the namespace itself, locked against a second guard
	id     nsID
	cookie uint64
	thread string // its number in /proc
	nl     *netlink.Handle
	// settings are used by one verification at a time.
	settings openSettings
	programs programs // likewise
	calls    chan func()
	quit     chan struct{}
	done     chan struct{} // closed when the thread has gone
}

// nsID identifies a namespace by the inode of its file.
type nsID struct{ dev, ino uint64 }

// openNamespace adopts the namespace named path or, with create, makes it.
func openNamespace(ctx context.Context, side Side, path string, create bool) (*namespace, error) {
	return openThread(ctx, newNamespace(side, path), create)
}

// joinNamespace enters a namespace that the guard of another process holds, and
// that must have that cookie: the one that file is or, where that is nil, the one named
// path. Its close leaves the links as they are, and closes the file.
func joinNamespace(ctx context.Context, side Side, path string, file *os.File, cookie uint64) (*namespace, error) {
	n := newNamespace(side, path)
	n.joined, n.handed, n.file = true, file != nil, file
	n, err := openThread(ctx, n, false)
	if n == nil || err == nil && n.cookie == cookie {
		return n, err
	}
	if err == nil {
		err = fmt.Errorf("%w: %s has cookie %d, must have %d", ErrWrongNamespace, path, n.cookie, cookie)
	}
	return nil, errors.Join(err, n.close())
}

func newNamespace(side Side, path string) *namespace {
	return &namespace{side: side, path: path,
		calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
}

func openThread(ctx context.Context, n *namespace, create bool) (*namespace, error) {
	ready := make(chan error, 1)
	onOwnThread(func() { n.serve(ready, create) })
	if err := <-ready; err != nil {
		<-n.done
		return nil, fmt.Errorf("opening namespace %s: %w", n.path, err)
	}
	return n, ctx.Err()
}

// onOwnThread runs f on a thread that is locked for good and ends with f. It is
// never the first thread of the process, which would take /proc/self along.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(started)
			f()
		}()
		<-started
		runtime.UnlockOSThread()
	}()
}

// serve enters the namespace and then runs what do hands it.
func (n *namespace) serve(ready chan<- error, create bool) {
	defer close(n.done)
	err := n.enter(create)
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case call := <-n.calls:
			call()
		case <-n.quit:
			return
		}
	}
}

func (n *namespace) enter(create bool) (err error) {
	defer func() {
		if err != nil {
			n.release()
		}
	}()
	if err := n.adopt(); errors.Is(err, os.ErrNotExist) && create {
		if err := makeNamespace(n.path); err != nil {
			return err
		}
		if err := n.adopt(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if n.dir, err = n.folder(); err != nil {
		return err
	}
	if n.cookie, err = threadCookie(); err != nil {
		return err
	}
	if n.thread, err = threadName(); err != nil {
		return err
	}
	n.nl, err = openNetlink()
	return err
}

// adopt moves the calling thread into the namespace that was handed over, or that
// n.path names. It returns os.ErrNotExist when the name is missing or names no namespace.
func (n *namespace) adopt() (err error) {
	if !n.handed {
		if n.file, err = os.OpenFile(n.path, os.O_RDONLY, 0); err != nil {
			return err
		}
	}
	fd := int(n.file.Fd())
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		n.file.Close()
		return os.ErrNotExist // a plain file: what is left when the mount is gone
	}
	if kind != unix.CLONE_NEWNET {
		return fmt.Errorf("%w: the file names a namespace of another kind", ErrWrongNamespace)
	}
	if err := n.lock(fd); err != nil {
		return err
	}
	if n.id, err = fileID(fd); err != nil {
		return err
	}
	// Whoever entered its own namespace as a port's would set the machine's
	// interfaces down.
	if own, err := ownID(); err != nil {
		return err
	} else if own == n.id {
		return fmt.Errorf("%w: the name stands for the namespace of the process: unmount and remove it", ErrWrongNamespace)
	}
	return privilege(os.NewSyscallError("setns", unix.Setns(fd, unix.CLONE_NEWNET)))
}

// lock keeps a second guard out of the namespace.
func (n *namespace) lock(fd int) error {
	if n.joined {
		return nil
	}
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	return os.NewSyscallError("flock", err)
}

// makeNamespace names a new namespace and moves the calling thread into it.
func makeNamespace(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return privilege(err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: network namespaces (CONFIG_NET_NS)", ErrUnsupported)
	} else if err != nil {
		return privilege(os.NewSyscallError("unshare", err))
	}
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return privilege(err)
	}
	f.Close()
	err = unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	return privilege(os.NewSyscallError("mount", err))
}

// ownID identifies the namespace of the process.
func ownID() (nsID, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return nsID{}, os.NewSyscallError("stat", err)
	}
	return nsID{uint64(st.Dev), st.Ino}, nil
}

func fileID(fd int) (nsID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nsID{}, os.NewSyscallError("fstat", err)
	}
	return nsID{uint64(st.Dev), st.Ino}, nil
}

// threadCookie returns the cookie of the calling thread's namespace.
func threadCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	return socketCookie(fd)
}

// socketCookie returns the cookie of the namespace that the socket belongs to.
func socketCookie(fd int) (uint64, error) {
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return 0, fmt.Errorf("%w: SO_NETNS_COOKIE needs Linux 5.14", ErrUnsupported)
	}
	return cookie, os.NewSyscallError("getsockopt SO_NETNS_COOKIE", err)
}

// openNetlink opens a route socket in the namespace of the calling thread. It
// stays there, whichever thread uses it.
func openNetlink() (*netlink.Handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	if err := h.SetSocketTimeout(netlinkTimeout); err != nil {
		h.Close()
		return nil, fmt.Errorf("setting netlink timeout: %w", err)
	}
	return h, nil
}

// do runs f on the namespace's thread and waits for it. Once f has been taken
// on, it is waited for to the end: it consists of a few quick system calls.
func (n *namespace) do(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	select {
	case n.calls <- func() { result <- f() }:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	case <-n.done:
		return ErrClosed
	}
}

// socket makes a socket in the namespace, bound to the link with that index.
func (n *namespace) socket(ctx context.Context, s socketSpec, index int) (fd int, err error) {
	err = n.do(ctx, func() (err error) {
		fd, err = s.make(index)
		return err
	})
	if err != nil {
		return -1, err
	}
	if err := n.ownsSocket(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (n *namespace) ownsSocket(fd int) error {
	cookie, err := socketCookie(fd)
	if err == nil && cookie != n.cookie {
		err = fmt.Errorf("%w: a socket has cookie %d, the %s port has %d", ErrWrongNamespace, cookie, n.side, n.cookie)
	}
	return err
}

// owns compares the cookie of a connection with the namespace's.
func (n *namespace) owns(conn net.Conn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%w: a %T has no socket", ErrWrongNamespace, conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var owned error
	if err := raw.Control(func(fd uintptr) { owned = n.ownsSocket(int(fd)) }); err != nil {
		return err
	}
	return owned
}

// close sets every link but lo down, unless the namespace is another process's,
// and ends the thread.
func (n *namespace) close() error {
	var err error
	if !n.joined {
		err = n.silence()
	}
	close(n.quit)
	<-n.done
	n.release()
	return err
}

// silence sets every link but lo down, so that the port neither sends nor answers.
func (n *namespace) silence() error {
	links, err := dump(n.nl.LinkList)
	if err != nil {
		return fmt.Errorf("listing links of the %s port: %w", n.side, err)
	}
	var errs []error
	for _, l := range links {
		if isLoopback(l) || l.Attrs().RawFlags&unix.IFF_UP == 0 {
			continue
		}
		if err := n.nl.LinkSetDown(l); err != nil {
			errs = append(errs, fmt.Errorf("setting %s of the %s port down: %w", l.Attrs().Name, n.side, privilege(err)))
		}
	}
	return errors.Join(errs...)
}

func (n *namespace) release() {
	n.settings.close()
	if n.nl != nil {
		n.nl.Close()
	}
	for _, f := range []*os.File{n.file, n.dir} {
		if f != nil {
			f.Close()
		}
	}
}

// named identifies the namespace that the path names now. The name of one that was
// handed over is for its guard to watch.
func (n *namespace) named() (nsID, error) {
	if n.handed {
		return n.id, nil
	}
	var st unix.Stat_t
	err := unix.Fstatat(int(n.dir.Fd()), filepath.Base(n.path), &st, 0)
	return nsID{uint64(st.Dev), st.Ino}, os.NewSyscallError("fstatat", err)
}

// threadName is the number that the calling thread has in /proc. That is not
// gettid's in a process namespace of its own, where /proc is the one outside
// (pid_namespaces(7)).
func threadName() (string, error) {
	link, err := os.Readlink("/proc/thread-self")
	if err != nil {
		return "", fmt.Errorf("asking for the own thread: %w", err)
	}
	return filepath.Base(link), nil
}

// inhabited identifies the namespace that the thread is in. Asking the thread
// itself would cost two switches, which take long on a busy machine.
func (n *namespace) inhabited() (nsID, error) {
	var st unix.Stat_t
	err := unix.Stat(fmt.Sprintf("/proc/self/task/%s/ns/net", n.thread), &st)
	return nsID{uint64(st.Dev), st.Ino}, os.NewSyscallError("stat", err)
}

// dump repeats a listing that the kernel says changed while it was read.
func dump[T any](list func() (T, error)) (T, error) {
	for range 8 {
		if all, err := list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return list()
}
