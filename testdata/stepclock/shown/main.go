// Shown answers each line of its standard input with its wall clock and the time
// since its start by the monotonic clock, in nanoseconds. With "set N" it sets its
// clock to N first.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	start := time.Now()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var to int64
		if n, err := fmt.Sscanf(strings.TrimSpace(lines.Text()), "set %d", &to); n == 1 && err == nil {
			at := unix.NsecToTimespec(to)
			if err := unix.ClockSettime(unix.CLOCK_REALTIME, &at); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		fmt.Println(time.Now().UnixNano(), int64(time.Since(start)))
	}
}
