package clock

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"
)

// System is the clock of the kernel. Setting it needs CAP_SYS_TIME.
type System struct{}

// The modes and states of adjtimex(2) that golang.org/x/sys/unix does not name
// on all architectures (include/uapi/linux/timex.h).
const (
	adjOffset    = 0x0001
	adjMaxError  = 0x0004
	adjEstError  = 0x0008
	adjStatus    = 0x0010
	adjTimeConst = 0x0020
	adjSetOffset = 0x0100
	adjNano      = 0x2000

	staPLL = 0x0001
)

// Set hands an offset to the phase-locked loop of the kernel, which slews the
// clock and learns its frequency, or steps the clock. Both tell the kernel that
// the clock is right, so that it also sets the hardware clock, every 11 minutes.
func (System) Set(c Correction) error {
	t := timex(c)
	_, err := unix.Adjtimex(&t)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	if err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	return nil
}

// timex is c as the kernel takes it.
func timex(c Correction) unix.Timex {
	micro := c.Distance.Microseconds()
	t := unix.Timex{Modes: adjStatus | adjNano | adjMaxError | adjEstError, Status: staPLL, Maxerror: micro, Esterror: micro}
	if c.Step {
		t.Modes |= adjSetOffset
		whole := c.Offset.Truncate(time.Second)
		if whole > c.Offset {
			whole -= time.Second // the fraction must not be negative
		}
		t.Time.Sec, t.Time.Usec = int64(whole/time.Second), int64(c.Offset-whole)
		return t
	}
	t.Modes |= adjOffset | adjTimeConst
	t.Offset = int64(min(max(c.Offset, -StepOver), StepOver))
	// The kernel adds 4 to the constant (SHIFT_PLL, kernel/time/ntp.c): the loop
	// follows the time between corrections.
	t.Constant = int64(max(bits.Len64(uint64(max(c.Poll, time.Second)/time.Second))-1-4, 0))
	return t
}
