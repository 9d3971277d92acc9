package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lwc/junos/junostest"
)

// errUsage says that the command line is wrong.
var errUsage = errors.New("reading the command line")

// options are the parsed command line.
type options struct {
	fleet         junostest.Config
	inventory     bool
	inventoryFile string
	logFile       string
}

const usage = `junosim simulates a fleet of Junos devices and bastions in one process.

  junosim --devices 24 --bastions 2 --behind 6 --inventory-file fleet.json

Every device has its own address, host key, host name, serials, parts, release,
licences, alarms and ports; all of it follows from --seed. Devices speak NETCONF
1.0 and 1.1 (subsystem netconf, or exec "xml-mode netconf need-trailer") and the
CLI (exec "show … | display xml"), with password, keyboard-interactive, public key
and user certificate. Bastions forward to the fleet only. When all ports are open
one line of JSON appears on standard output. SIGTERM and Ctrl-C stop it.

  Try it:  junosim --base-port 20830 --password secret
           ssh -p 20830 lwc@127.0.0.1 'show version | display xml'

Without --password the password follows from the seed; the inventory tells it, a
private key and a certificate that log in too, and which host has which fault.

  Faults:  junosim --devices 100 --fault mx-0001=stall --fault 'ex-*=slow-auth:5s'
           junosim --devices 1000 --faulty 0.2 --faulty 0.05=stall,drip:50

Models: %s.

Flags:
`

// parse reads the command line. Help goes to stdout.
func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("junosim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o.define(fs)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, usage, join(junostest.Models()))
		fs.VisitAll(func(f *flag.Flag) { printFlag(stdout, f) })
		printFaults(stdout)
		return o, err
	}
	if err != nil {
		return o, fmt.Errorf("%w: %w; junosim --help tells the flags", errUsage, err)
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%w: unexpected argument %q; junosim --help tells the flags", errUsage, fs.Arg(0))
	}
	basePort := false
	fs.Visit(func(f *flag.Flag) { basePort = basePort || f.Name == "base-port" })
	if !basePort {
		o.fleet.DevicePort = 830
	}
	if o.fleet.Clock != nil || o.fleet.Replies != "" {
		o.fleet.Cache = 0 // the same question may have another answer
	}
	return o, nil
}

// printFlag explains a flag; its usage is the value, a bar, and the text.
func printFlag(w io.Writer, f *flag.Flag) {
	value, text, ok := strings.Cut(f.Usage, "|")
	if !ok {
		value, text = "", f.Usage
	}
	head := strings.TrimRight("--"+f.Name+" "+value, " ")
	if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" && f.DefValue != "0s" {
		text += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(w, "  %-24s %s\n", head, text)
}

// printFaults explains the faults, those of bastions marked.
func printFaults(w io.Writer) {
	fmt.Fprint(w, "\nFaults (d: of devices, b: of bastions):\n")
	for _, k := range junostest.FaultKinds() {
		fmt.Fprintf(w, "  %-2s %-36s %s\n", places(k), string(k.Name)+k.Arg, k.Text)
	}
}

// places says where a fault can be.
func places(k junostest.FaultKind) (at string) {
	if k.Device {
		at = "d"
	}
	if k.Bastion {
		at += "b"
	}
	return at
}

func join[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}

func (o *options) define(fs *flag.FlagSet) {
	c := &o.fleet
	fs.IntVar(&c.Devices, "devices", 6, "N|how many devices")
	fs.Func("models", "LIST|models, given to the devices in turn (default all)", o.setModels)
	fs.Uint64Var(&c.Seed, "seed", 1, "S|decides everything about the devices")
	fs.Func("listen", "ADDR|of the first device; each has the next one, at port 830 (default 127.0.0.1)", func(s string) (err error) {
		c.Listen, err = netip.ParseAddr(s)
		return err
	})
	fs.Func("base-port", "PORT|all on one address, ports counted up from here; 0: the kernel picks them", o.setBasePort)
	fs.Func("bind", "PREFIX|to take the addresses from, for network namespaces", func(s string) (err error) {
		c.Bind, err = netip.ParsePrefix(s)
		return err
	})
	fs.IntVar(&c.Bastions, "bastions", 0, "N|how many bastions; they follow the devices, at port 22")
	fs.IntVar(&c.Behind, "behind", 0, "N|how many devices, from the last, only a bastion reaches")
	fs.StringVar(&c.User, "user", "lwc", "NAME|that logs in")
	fs.StringVar(&c.Password, "password", "", "TEXT|that logs in to devices (default from the seed)")
	fs.StringVar(&c.BastionPassword, "bastion-password", "", "TEXT|that logs in to bastions (default from the seed)")
	fs.Func("auth", "LIST|log-in methods (default password,keyboard-interactive,publickey)", func(s string) error {
		c.Auth = strings.Split(s, ",")
		return nil
	})
	fs.StringVar(&c.Replies, "replies", "", "DIR|with files DEVICE/ITEM.xml, MODEL/ITEM.xml or ITEM.xml that replace replies")
	fs.Func("fault", "NAME=KIND[:ARG]|fault of a device or bastion; * in NAME stands for any; may be repeated", o.addFault)
	fs.Func("faulty", "SHARE[=LIST]|deals faults out to a share of the devices, 0.2 or 0.2=stall,drip:50; may be repeated", o.addFaulty)
	fs.Func("superuser", "NAME|device where the account may do everything; * in NAME stands for any; may be repeated", func(s string) error {
		c.Superusers = append(c.Superusers, s)
		return nil
	})
	fs.Func("authorized-keys", "FILE|with public keys that may log in too", o.addAuthorizedKeys)
	fs.BoolVar(&c.HostCA, "host-ca", false, "show host certificates too; the inventory tells who signed them")
	fs.StringVar(&c.Canary, "canary", "", "TEXT|stands in an interface description of each device")
	fs.DurationVar(&c.Latency, "latency", 0, "TIME|before each reply, such as 120ms; a real device takes 100 to 150 ms")
	fs.BoolFunc("live-clock", "let the clocks of the devices run; without it the same question has the same answer", func(string) error {
		c.Clock = time.Now
		return nil
	})
	c.Cache = 256e6
	fs.Func("cache", "SIZE|of replies kept to be sent again, 0 for none (default 256MB; none with --live-clock or --replies)", o.setCache)
	fs.StringVar(&o.logFile, "log", "", "FILE|gets a line of JSON for each document sent")
	fs.BoolVar(&o.inventory, "inventory", false, "print the inventory (JSON) and start nothing")
	fs.StringVar(&o.inventoryFile, "inventory-file", "", "FILE|gets the inventory before the ready line appears")
}

func (o *options) setBasePort(s string) error {
	p, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("a port is a number up to 65535")
	}
	o.fleet.BasePort = uint16(p)
	return nil
}

func (o *options) setCache(s string) (err error) {
	if o.fleet.Cache = 0; s != "0" {
		o.fleet.Cache, err = junostest.ParseSize(s)
	}
	return err
}

func (o *options) setModels(s string) error {
	for _, name := range strings.Split(s, ",") {
		m := junostest.Model(strings.TrimSpace(name))
		if !slices.Contains(junostest.Models(), m) {
			return fmt.Errorf("%q is unknown; known are %s", m, join(junostest.Models()))
		}
		o.fleet.Models = append(o.fleet.Models, m)
	}
	return nil
}

func (o *options) addFault(s string) error {
	name, kind, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("want NAME=KIND or NAME=KIND:ARG")
	}
	fault, err := junostest.ParseFault(kind)
	if err != nil {
		return err
	}
	if o.fleet.Faults == nil {
		o.fleet.Faults = map[string]junostest.Fault{}
	}
	o.fleet.Faults[name] = fault
	return nil
}

func (o *options) addFaulty(s string) error {
	fraction, err := junostest.ParseFraction(s)
	o.fleet.Faulty = append(o.fleet.Faulty, fraction)
	return err
}

func (o *options) addAuthorizedKeys(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			o.fleet.AuthorizedKeys = append(o.fleet.AuthorizedKeys, line)
		}
	}
	return nil
}
