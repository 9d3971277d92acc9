package wall

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// exchangeTimeout bounds each exchange with the kernel, which answers within
// milliseconds unless its nftables lock is held for very long.
const exchangeTimeout = 5 * time.Second

// conn is a netlink socket of netfilter inside one namespace.
type conn struct {
	nl     *netlink.Conn
	raw    syscall.RawConn
	portID uint32
}

func dial(ns *os.File) (*conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns.Fd())})
	if err != nil {
		return nil, openError(err)
	}
	c := &conn{nl: nl}
	if c.raw, err = nl.SyscallConn(); err == nil {
		err = c.prepare()
	}
	if err != nil {
		nl.Close()
		return nil, err
	}
	return c, nil
}

// prepare reads the port id that the kernel gave the socket.
func (c *conn) prepare() error {
	var err error
	controlled := c.raw.Control(func(fd uintptr) {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(int(fd)); err == nil {
			c.portID = sa.(*unix.SockaddrNetlink).Pid
		}
	})
	return errors.Join(controlled, os.NewSyscallError("getsockname", err))
}

func (c *conn) close() error { return c.nl.Close() }
