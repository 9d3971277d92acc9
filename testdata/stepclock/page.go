package stepclock

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The words of a page, as in the patch of package time.
const (
	changes = iota
	ahead
	pace
	realBase
	ownBase
	words
)

// Page is the page by which a program's clocks go. One goroutine at a time may change
// its pace.
type Page struct {
	bytes []byte
	page  *[words]int64
}

// NewPage makes a page in a file. Programs of any user may read it; root's may set
// their clock by it.
func NewPage(path string) (*Page, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("making the page of a clock: %w", err)
	}
	size := int(unsafe.Sizeof([words]int64{}))
	err = errors.Join(f.Chmod(0o644), f.Truncate(int64(size)))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	bytes, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("mapping the page of a clock: %w", err)
	}
	p := &Page{bytes: bytes, page: (*[words]int64)(unsafe.Pointer(&bytes[0]))}
	return p, p.SetPace(1)
}

// Set puts the programs' wall clock that much before the machine's; back where it is
// negative. What a faster pace has given comes on top.
func (p *Page) Set(by time.Duration) { atomic.StoreInt64(&p.page[ahead], int64(by)) }

// Ahead is how far the programs' wall clock was put before the machine's.
func (p *Page) Ahead() time.Duration { return time.Duration(atomic.LoadInt64(&p.page[ahead])) }

// SetPace has that many seconds go by for the programs in one of the machine's, from
// now on. Timers that are set already keep their time.
func (p *Page) SetPace(seconds int64) error {
	mono, err := monotonic()
	if err != nil {
		return err
	}
	own := mono
	if old := p.page[pace]; old != 0 {
		own = p.page[ownBase] + (mono-p.page[realBase])*old
	}
	atomic.AddInt64(&p.page[changes], 1)
	atomic.StoreInt64(&p.page[pace], seconds)
	atomic.StoreInt64(&p.page[realBase], mono)
	atomic.StoreInt64(&p.page[ownBase], own)
	atomic.AddInt64(&p.page[changes], 1)
	return nil
}

// Gained is how much more time than on the machine has gone by for the programs.
func (p *Page) Gained() (time.Duration, error) {
	mono, err := monotonic()
	return time.Duration(p.page[ownBase] + (mono-p.page[realBase])*p.page[pace] - mono), err
}

// monotonic is the clock that Go's runtime takes.
func monotonic() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("reading the monotonic clock: %w", err)
	}
	return ts.Nano(), nil
}

// Close gives the page back. Programs that have it keep their clocks.
func (p *Page) Close() error { return syscall.Munmap(p.bytes) }
