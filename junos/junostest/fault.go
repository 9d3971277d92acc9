package junostest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is a way in which a device or a bastion misbehaves: a kind, or a kind
// and its argument, "slow-auth:5s". FaultKinds tells all of them.
type Fault string

// The kinds of faults. What each does, where, and its argument is in FaultKinds.
const (
	NoFault        Fault = ""
	NoNETCONF      Fault = "no-netconf"
	NoSubsystem    Fault = "no-subsystem"
	CLIOnly        Fault = "cli-only"
	Garbage        Fault = "garbage"
	GarbageReply   Fault = "garbage-reply"
	Stall          Fault = "stall"
	Truncate       Fault = "truncate"
	Unreachable    Fault = "unreachable"
	RefuseAuth     Fault = "refuse-auth"
	Silent         Fault = "silent"
	Throttle       Fault = "throttle"
	Limit          Fault = "limit"
	Rate           Fault = "rate"
	Lockout        Fault = "lockout"
	SlowAuth       Fault = "slow-auth"
	EndlessPrompts Fault = "endless-prompts"
	StallBanner    Fault = "stall-banner"
	StallKex       Fault = "stall-kex"
	StallAuth      Fault = "stall-auth"
	StallHello     Fault = "stall-hello"
	StallMid       Fault = "stall-mid"
	Drip           Fault = "drip"
	Disconnect     Fault = "disconnect"
	WrongFraming   Fault = "wrong-framing"
	WrongID        Fault = "wrong-id"
	Splits         Fault = "splits"
	Huge           Fault = "huge"
	ErrorHello     Fault = "error-hello"
	BadUTF8        Fault = "bad-utf8"
	BOM            Fault = "bom"
	NewHostKey     Fault = "new-host-key"
	OldAlgorithms  Fault = "old-algorithms"
	BannerFlood    Fault = "banner-flood"
	NoForward      Fault = "no-forward"
	NoPipeline     Fault = "no-pipeline"
)

// Kind is the fault without its argument.
func (f Fault) Kind() Fault {
	kind, _, _ := strings.Cut(string(f), ":")
	return Fault(kind)
}

// Arg is the argument of the fault, empty where it has none.
func (f Fault) Arg() string {
	_, arg, _ := strings.Cut(string(f), ":")
	return arg
}

// ParseFault reads "kind" or "kind:argument". The error tells what is known.
func ParseFault(s string) (Fault, error) {
	f := Fault(s)
	if f == NoFault {
		return f, nil
	}
	all := FaultKinds()
	i := slices.IndexFunc(all, func(k FaultKind) bool { return k.Name == f.Kind() })
	if i < 0 {
		return "", fmt.Errorf("fault %q is unknown; known are %v", s, Faults())
	}
	if err := all[i].check(f.Arg()); err != nil {
		return "", fmt.Errorf("fault %q: %w", s, err)
	}
	return f, nil
}

// Faults returns every kind by name, NoFault left out.
func Faults() []Fault {
	var names []Fault
	for _, k := range FaultKinds() {
		names = append(names, k.Name)
	}
	return names
}

// FaultKind explains one kind of fault.
type FaultKind struct {
	Name            Fault
	Arg             string // how its argument is written: "[:DURATION]", ":N", or empty
	Text            string // what it does, in a line
	Device, Bastion bool   // where it can be

	check func(arg string) error
}

// FaultKinds returns every kind, in the order of a session's life.
func FaultKinds() []FaultKind {
	const device, bastion, both = 1, 2, 3
	row := func(name Fault, at int, arg, text string, check func(string) error) FaultKind {
		return FaultKind{name, arg, text, at&device != 0, at&bastion != 0, check}
	}
	return []FaultKind{
		row(Unreachable, both, "", "does not listen", noArg),
		row(Silent, both, "", "accepts the connection and never says a word", noArg),
		row(Throttle, both, "[:rst|N]", "closes every connection (or the first N) before the SSH version; rst: resets it", oneOf(countArg, "", "rst")),
		row(Limit, both, ":N", "closes connections before the SSH version while N are open (connection-limit)", countArg),
		row(Rate, both, ":N", "closes connections before the SSH version beyond N a minute (rate-limit)", countArg),
		row(StallBanner, both, "", "stops in the middle of its SSH version", noArg),
		row(StallKex, both, "", "sends its SSH version and then nothing", noArg),
		row(OldAlgorithms, both, "", "has only group1-sha1, aes128-cbc and 3des-cbc, hmac-sha1 and an ssh-rsa host key", noArg),
		row(NewHostKey, both, "[:later]", "shows another host key than the inventory tells; later: from its second connection on", oneOf(nil, "", "later")),
		row(BannerFlood, both, "[:BYTES|lines]", "sends megabytes of banner before the log-in; lines: endless lines before its SSH version", oneOf(sizeArg, "", "lines")),
		row(StallAuth, both, "", "sends its banner and never answers the log-in", noArg),
		row(SlowAuth, both, "[:DURATION]", "takes 10 s, or as long as told, for each log-in", oneOf(durationArg, "")),
		row(RefuseAuth, both, "", "refuses every log-in", noArg),
		row(Lockout, both, "[:N]", "has locked the account, or does after N bad log-ins, and says so", oneOf(countArg, "")),
		row(EndlessPrompts, both, "[:empty]", "asks for the password again and again; empty: rounds without a question", oneOf(nil, "", "empty")),
		row(NoForward, bastion, "[:shortage|connect]", "refuses to forward: prohibited, out of resources, or target not reached", oneOf(nil, "", "shortage", "connect")),
		row(NoNETCONF, device, "", "logs in, but there is no NETCONF in any form", noArg),
		row(NoSubsystem, device, "", "has no netconf subsystem, but takes exec xml-mode netconf need-trailer", noArg),
		row(CLIOnly, device, "[:text]", "as no-netconf; text: it takes xml-mode for a command and answers with an error", oneOf(nil, "", "text")),
		row(StallHello, device, "", "starts NETCONF and never sends its hello", noArg),
		row(Garbage, device, "", "sends noise in place of the hello, and ends the session", noArg),
		row(ErrorHello, device, "[:only]", "sends an rpc-error before its hello; only: in place of it, and ends the session", oneOf(nil, "", "only")),
		row(Stall, device, "", "sends a good hello and never answers a request", noArg),
		row(StallMid, device, "", "stops in the middle of a reply", noArg),
		row(Drip, device, "[:N]", "sends replies at 16, or N, bytes a second", oneOf(countArg, "")),
		row(Truncate, device, "[:framed]", "ends the session in the middle of a reply; framed: cuts the document, but ends the message well", oneOf(nil, "", "framed")),
		row(Disconnect, device, "", "resets the connection in the middle of a reply", noArg),
		row(GarbageReply, device, "", "sends a good hello, then noise in place of replies", noArg),
		row(WrongFraming, device, "[:size|zero|header]", "frames replies as it must not: chunks for delimiters or the reverse; or with bad chunk sizes", oneOf(nil, "", "size", "zero", "header")),
		row(WrongID, device, "", "answers with another message-id", noArg),
		row(Splits, device, "[:N]", "writes in pieces of 1 to 1024, or N, bytes, framing cut anywhere; nothing is wrong", oneOf(countArg, "")),
		row(Huge, device, ":BYTES[:ITEM|:*|:noise]", "has show-interfaces-terse, or the item named, or all, that long; noise: so that it cannot be compressed", hugeArg),
		row(BadUTF8, device, "", "has bytes in its replies that are not UTF-8", noArg),
		row(BOM, device, "", "puts a byte order mark before each reply", noArg),
		row(NoPipeline, device, "", "ends the session when a request comes before the reply to the last is sent", noArg),
	}
}

func noArg(arg string) error {
	if arg != "" {
		return errors.New("it takes no argument")
	}
	return nil
}

// oneOf takes the words, and what other takes.
func oneOf(other func(string) error, words ...string) func(string) error {
	return func(arg string) error {
		if slices.Contains(words, arg) {
			return nil
		}
		if other != nil {
			return other(arg)
		}
		return fmt.Errorf("its argument is one of %q", words)
	}
}

func countArg(arg string) error {
	if n, err := strconv.Atoi(arg); err != nil || n < 1 || n > math.MaxInt32 {
		return errors.New("its argument is a number from 1 on")
	}
	return nil
}

func durationArg(arg string) error {
	if t, err := time.ParseDuration(arg); err != nil || t <= 0 {
		return errors.New("its argument is a duration, such as 5s")
	}
	return nil
}

func sizeArg(arg string) error {
	_, err := ParseSize(arg)
	return err
}

func hugeArg(arg string) error {
	size, _ := cutArg(arg)
	return sizeArg(size)
}

// cutArg takes an argument of two parts apart.
func cutArg(arg string) (first, second string) {
	first, second, _ = strings.Cut(arg, ":")
	return first, second
}

// ParseSize reads a number of bytes: 5000, 64KiB, 200MB, 2GB. The B may be left out.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "kKMGiB")
	name := strings.ToLower(strings.TrimSuffix(s[len(digits):], "B"))
	unit := map[string]int64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}[name]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || unit == 0 || n < 1 || n > 1<<50/unit {
		return 0, fmt.Errorf("size %q: want a number of bytes, such as 5000, 64KiB, 200MB or 2GB", s)
	}
	return n * unit, nil
}
