// Shown answers each line of its standard input with its wall clock and the time
// since its start by the monotonic clock, in nanoseconds. With "set N" it sets its
// clock to N first, with "wait D" it waits so long by a timer, with "deadline D" by the
// deadline of a connection.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	start := time.Now()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		word, value, _ := strings.Cut(lines.Text(), " ")
		if err := do(word, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(time.Now().UnixNano(), int64(time.Since(start)))
	}
}

func do(word, value string) error {
	switch word {
	case "set":
		var to int64
		if _, err := fmt.Sscan(value, &to); err != nil {
			return err
		}
		at := unix.NsecToTimespec(to)
		return unix.ClockSettime(unix.CLOCK_REALTIME, &at)
	case "wait", "deadline":
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		if word == "wait" {
			<-time.NewTimer(d).C
			return nil
		}
		return silence(d)
	}
	return nil
}

// silence waits for a connection on which nothing comes.
func silence(d time.Duration) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("reading until a deadline: %w", err)
	}
	return nil
}
