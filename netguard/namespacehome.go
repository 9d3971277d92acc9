package netguard

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
)

// home is the namespace of the process, where the ports come from.
type home struct {
	file   *os.File
	cookie uint64
	nl     *netlink.Handle
}

func openHome() (*home, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("opening own namespace: %w", err)
	}
	h := &home{file: file}
	if h.cookie, err = threadCookie(); err == nil {
		h.nl, err = openNetlink()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("opening own namespace: %w", err)
	}
	return h, nil
}

func (h *home) close() {
	h.nl.Close()
	h.file.Close()
}
