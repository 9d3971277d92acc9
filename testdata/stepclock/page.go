package stepclock

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Page is the page in which a program's clock is set.
type Page struct {
	bytes []byte
	ahead *int64
}

// NewPage makes a page in a file. Programs of any user may read it; root's may set
// their clock by it.
func NewPage(path string) (*Page, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("making the page of a clock: %w", err)
	}
	err = errors.Join(f.Chmod(0o644), f.Truncate(8))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	bytes, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("mapping the page of a clock: %w", err)
	}
	return &Page{bytes: bytes, ahead: (*int64)(unsafe.Pointer(&bytes[0]))}, nil
}

// Set puts the programs' clock that much before the machine's; back where it is
// negative.
func (p *Page) Set(ahead time.Duration) { atomic.StoreInt64(p.ahead, int64(ahead)) }

// Ahead is how far the programs' clock is before the machine's.
func (p *Page) Ahead() time.Duration { return time.Duration(atomic.LoadInt64(p.ahead)) }

// Close gives the page back. Programs that have it keep their clock.
func (p *Page) Close() error { return syscall.Munmap(p.bytes) }
