// Command run is the bad line as a program: run -listen 127.0.0.1:0 TARGET. It
// prints the address that it listens at, and then does what the lines on its
// standard input say, until they end: cut, reset, half-open, half-open-far, refuse,
// black-hole, heal, "delay 200ms", "rate 10000", "target HOST:PORT". Each is answered
// by "ok" or by what is wrong with it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lwc/testdata/badline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "badline:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("badline", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen at")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("give one target, host:port")
	}
	line, err := badline.New(*listen, flags.Arg(0))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, line.Addr())
	done := make(chan error, 1)
	go func() { done <- line.Run(ctx) }()
	go obey(line, in, out) // ends with the standard input, or with the program
	return <-done
}

// obey does what is said until the input ends, and then closes the line.
func obey(line *badline.Line, in io.Reader, out io.Writer) {
	defer line.Close()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := do(line, lines.Text()); err != nil {
			fmt.Fprintln(out, "error:", err)
			continue
		}
		fmt.Fprintln(out, "ok")
	}
}

func do(line *badline.Line, words string) error {
	word, value, _ := strings.Cut(strings.TrimSpace(words), " ")
	plain := map[string]func(){
		"cut": line.Cut, "reset": line.Reset, "half-open": line.HalfOpen, "half-open-far": line.HalfOpenFar,
		"refuse": line.Refuse, "black-hole": line.BlackHole, "heal": line.Heal,
	}
	if act, ok := plain[word]; ok && value == "" {
		act()
		return nil
	}
	switch word {
	case "delay":
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		line.Delay(d)
	case "rate":
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		line.Rate(n)
	case "target":
		line.Retarget(value)
	default:
		return fmt.Errorf("%q is none of its words", words)
	}
	return nil
}
