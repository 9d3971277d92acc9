package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"lwc/collector"
	"lwc/netguard"
	"lwc/transport/wire"
)

// config is the clean form of a configuration file.
type config struct {
	stateDir    string
	tokenFile   string
	collectorID string // proposed; empty when the token is bound to one
	ports       netguard.Config
	budget      int64 // bytes
	patience    patience
	level       slog.Level
}

// file is the raw form. Values that need a check of their own are read as text,
// so that errors name the key and what to do.
type file struct {
	StateDir    string   `toml:"state_dir"`
	TokenFile   string   `toml:"enrolment_token_file"`
	CollectorID string   `toml:"collector_id"`
	Guard       guard    `toml:"guard"`
	Internal    port     `toml:"internal"`
	External    port     `toml:"external"`
	Collect     collect  `toml:"collect"`
	Timeouts    timeouts `toml:"timeouts"`
	Log         logging  `toml:"log"`
}

type guard struct {
	Mode      string `toml:"mode"`
	Dedicated bool   `toml:"dedicated"`
}

type port struct {
	Interface string   `toml:"interface"`
	MAC       string   `toml:"mac"`
	Addresses []string `toml:"addresses"`
	Gateway   string   `toml:"gateway"`
	Routes    []string `toml:"routes"`
	DNS       []string `toml:"dns"`
	MTU       int      `toml:"mtu"`
}

type collect struct {
	MemoryMiB int `toml:"memory_mib"`
}

type logging struct {
	Level string `toml:"level"`
}

const (
	defaultStateDir  = "/var/lib/lwcd"
	defaultTokenFile = "/etc/lwcd/enrol.token"
	// maxConfig bounds the file: a full one has 2 KiB.
	maxConfig = 1 << 20
	// maxMemoryMiB keeps a typing error from promising more than a box has.
	maxMemoryMiB = 16 << 10
)

// loadConfig reads a file. Its error has one line for each thing that is wrong.
func loadConfig(path string) (config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return config{}, fmt.Errorf("%w (give its place with --config FILE)", err)
	}
	if info.Size() > maxConfig {
		return config{}, fmt.Errorf("%s: %d bytes are too many for a configuration", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return config{}, err
	}
	return parseConfig(path, string(text))
}

// parseConfig is loadConfig on a text; path stands in the errors.
func parseConfig(path, text string) (config, error) {
	var f file
	meta, err := toml.Decode(text, &f)
	if err != nil {
		return config{}, tomlError(path, err)
	}
	c := checker{path: path, lines: linesOf(text)}
	for _, key := range meta.Undecoded() {
		if len(key) > 1 && slices.ContainsFunc(meta.Undecoded(), func(k toml.Key) bool { return k.String() == key[:1].String() }) {
			continue // its whole table is unknown
		}
		c.addf(key.String(), "is not a key of this configuration: correct its name or remove it (docs/lwcd.md lists the keys)")
	}
	conf := c.config(f)
	slices.SortStableFunc(c.errs, func(a, b finding) int { return a.line - b.line })
	return conf, c.joined()
}

// mismatch is how the decoder tells of a value of the wrong type.
var mismatch = regexp.MustCompile(`line (\d+) \(last key "([^"]*)"\): (.*)$`)

func tomlError(path string, err error) error {
	var p toml.ParseError
	if errors.As(err, &p) {
		key := ""
		if p.LastKey != "" {
			key = p.LastKey + ": "
		}
		return fmt.Errorf("%s:%d: %s%s: correct this line", path, p.Position.Line, key, strings.TrimSuffix(p.Message, "."))
	}
	if m := mismatch.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: %s: the value is of the wrong type: write %s", path, m[1], m[2], wanted(m[3]))
	}
	return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "toml: "))
}

// wanted says in words which type the decoder would have taken.
func wanted(detail string) string {
	for _, t := range []struct{ sign, words string }{
		{"destination has type string", `a text in quotes, "like this"`},
		{"destination has type slice", `a list of texts, ["like this", "and this"]`},
		{"destination has type int", "a number without quotes"},
		{"destination has type bool", "true or false, without quotes"},
		{"expected table", "a table, its name in brackets on a line of its own"},
	} {
		if strings.Contains(detail, t.sign) {
			return t.words
		}
	}
	return "it as docs/lwcd.md shows (" + detail + ")"
}

// checker turns the raw form into the clean one.
type checker struct {
	path  string
	lines map[string]int
	errs  []finding
}

// finding is one thing that is wrong.
type finding struct {
	line int // 0: not on one line
	text string
}

func (c *checker) joined() error {
	var errs []error
	for _, f := range c.errs {
		errs = append(errs, errors.New(f.text))
	}
	return errors.Join(errs...)
}

// addf reports what is wrong with a key, at its line.
func (c *checker) addf(key, format string, args ...any) {
	at, line := c.path, c.lines[key]
	if line > 0 {
		at = fmt.Sprintf("%s:%d", c.path, line)
	}
	c.errs = append(c.errs, finding{line, fmt.Sprintf("%s: %s: %s", at, key, fmt.Sprintf(format, args...))})
}

func (c *checker) config(f file) config {
	conf := config{
		stateDir:    c.absolute("state_dir", f.StateDir, defaultStateDir),
		tokenFile:   c.absolute("enrolment_token_file", f.TokenFile, defaultTokenFile),
		collectorID: f.CollectorID,
		budget:      collector.DefaultBudgetBytes,
	}
	if f.CollectorID != "" {
		if err := wire.CheckCollectorID(f.CollectorID); err != nil {
			c.addf("collector_id", "%v", err)
		}
	}
	if f.Collect.MemoryMiB < 0 || f.Collect.MemoryMiB > maxMemoryMiB {
		c.addf("collect.memory_mib", "%d is not between 1 and %d (0 means %d)", f.Collect.MemoryMiB, maxMemoryMiB, collector.DefaultBudgetBytes>>20)
	} else if f.Collect.MemoryMiB > 0 {
		conf.budget = int64(f.Collect.MemoryMiB) << 20
	}
	if f.Log.Level != "" {
		if err := conf.level.UnmarshalText([]byte(f.Log.Level)); err != nil {
			c.addf("log.level", "%q is not a level: use debug, info, warn or error", f.Log.Level)
		}
	}
	conf.patience = c.timeouts(f.Timeouts)
	conf.ports = c.ports(f)
	return conf
}

func (c *checker) absolute(key, value, unset string) string {
	if value == "" {
		return unset
	}
	if !filepath.IsAbs(value) {
		c.addf(key, "%q is not an absolute path: begin it with /", value)
	}
	return filepath.Clean(value)
}

// ports asks netguard once the values can be read at all.
func (c *checker) ports(f file) netguard.Config {
	before := len(c.errs)
	mode, err := netguard.ParseMode(f.Guard.Mode)
	if err != nil {
		c.addf("guard.mode", "%q is not a mode: use enforce, userns or unprotected", f.Guard.Mode)
	}
	g := netguard.Config{Mode: mode, Dedicated: f.Guard.Dedicated,
		Internal: c.port("internal", f.Internal), External: c.port("external", f.External)}
	if len(c.errs) == before {
		c.guard(netguard.Check(g))
	}
	return g
}

// guard takes netguard's findings apart and puts the lines to them.
func (c *checker) guard(err error) {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		for _, e := range many.Unwrap() {
			c.guard(e)
		}
		return
	}
	var ce *netguard.ConfigError
	switch {
	case err == nil:
	case errors.As(err, &ce) && ce.Port != "":
		c.addf(string(ce.Port)+"."+keyOf(ce.Field), "%v", err)
	default:
		c.errs = append(c.errs, finding{0, fmt.Sprintf("%s: %v", c.path, err)})
	}
}

// keyOf is the key of a field of netguard.Port.
func keyOf(field string) string {
	switch field {
	case "address":
		return "addresses"
	case "route":
		return "routes"
	}
	return field
}

func (c *checker) port(name string, p port) netguard.Port {
	out := netguard.Port{Interface: p.Interface, MAC: p.MAC, MTU: p.MTU}
	for _, s := range p.Addresses {
		a, err := netip.ParsePrefix(s)
		if err != nil {
			c.addf(name+".addresses", "%q is not an address with its prefix length: write it as 10.1.0.2/24", s)
		}
		out.Addresses = append(out.Addresses, a)
	}
	if p.Gateway != "" {
		var err error
		if out.Gateway, err = netip.ParseAddr(p.Gateway); err != nil {
			c.addf(name+".gateway", "%q is not an IP address: write it as 10.1.0.1", p.Gateway)
		}
	}
	for _, s := range p.Routes {
		r, err := netguard.ParseRoute(s)
		if err != nil {
			c.addf(name+".routes", `%q is not a route: write it as "10.0.0.0/8 via 10.1.0.1"`, s)
		}
		out.Routes = append(out.Routes, r)
	}
	for _, s := range p.DNS {
		out.DNS = append(out.DNS, c.server(name+".dns", s))
	}
	return out
}

// server reads a name server: an address, or address and port.
func (c *checker) server(key, s string) netip.AddrPort {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53)
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		c.addf(key, "%q is not the address of a name server: write it as 192.0.2.53, or 192.0.2.53:5353 for another port", s)
	}
	return ap
}

// summary says in words what a configuration amounts to.
func (c config) summary(path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: good\n", path)
	fmt.Fprintf(&b, "  state            %s\n", c.stateDir)
	fmt.Fprintf(&b, "  enrolment token  %s\n", c.tokenFile)
	if c.collectorID != "" {
		fmt.Fprintf(&b, "  proposed id      %s\n", c.collectorID)
	}
	fmt.Fprintf(&b, "  ports            %s\n", c.ports.Mode)
	if c.ports.Mode == netguard.Unprotected {
		b.WriteString("                   NOT separated: nothing keeps the two networks apart in this mode\n")
		return b.String()
	}
	fmt.Fprintf(&b, "  internal port    %s\n", portWords(c.ports.Internal))
	fmt.Fprintf(&b, "  external port    %s\n", portWords(c.ports.External))
	return b.String()
}

func portWords(p netguard.Port) string {
	words := p.Interface
	if p.MAC != "" {
		words = strings.TrimSpace(words + " " + p.MAC)
	}
	for _, a := range p.Addresses {
		words += " " + a.String()
	}
	if p.Gateway.IsValid() {
		words += " via " + p.Gateway.String()
	}
	return words
}
