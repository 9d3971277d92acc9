package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"lwc/cmd/lwcd/packets"
	"lwc/collector"
	"lwc/netguard"
	"lwc/transport/boxkey"
	"lwc/transport/wire"
)

// config is the clean form of a configuration file.
type config struct {
	stateDir     string
	tokenFile    string
	collectorID  string // proposed; empty when the token is bound to one
	tpm          string // device; empty: keys lie in files
	clockSocket  string // of who sets the clock; empty: we do
	halfSocket   string // behind which systemd starts the collector half; empty: we do
	packetSocket string // of who makes packet sockets; empty: we do
	ports        netguard.Config
	outside      outside
	user         string // the collector half runs as this one
	userGiven    bool   // the file names it, so that it has to exist
	console      string // path; empty: none
	budget       int64  // bytes
	update       updating
	patience     patience
	level        slog.Level
}

// file is the raw form. Values that need a check of their own are read as text,
// so that errors name the key and what to do.
type file struct {
	StateDir     string   `toml:"state_dir"`
	TokenFile    string   `toml:"enrolment_token_file"`
	CollectorID  string   `toml:"collector_id"`
	TPM          string   `toml:"tpm"`
	ClockSocket  string   `toml:"clock_socket"`
	HalfSocket   string   `toml:"half_socket"`
	PacketSocket string   `toml:"packet_socket"`
	Guard        guard    `toml:"guard"`
	Internal     inner    `toml:"internal"`
	External     outer    `toml:"external"`
	Collect      collect  `toml:"collect"`
	Timeouts     timeouts `toml:"timeouts"`
	Update       update   `toml:"update"`
	Log          logging  `toml:"log"`
}

type guard struct {
	Mode      string `toml:"mode"`
	Dedicated bool   `toml:"dedicated"`
	User      string `toml:"user"`
	Console   string `toml:"console"`
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
	defaultUser      = "lwcd"
	// noTPM in place of a device keeps the identity key in a file.
	noTPM = "none"
	// maxConfig bounds the file: a full one has 2 KiB.
	maxConfig = 256 << 10
	// maxMemoryMiB keeps a typing error from promising more than a box has.
	maxMemoryMiB = 16 << 10
)

// loadConfig reads a file. Its error has one line for each thing that is wrong.
func loadConfig(path string) (config, error) {
	text, err := readConfig(path)
	if err != nil {
		return config{}, err
	}
	return parseConfig(path, text)
}

// readConfig reads the text of a file, bounded.
func readConfig(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w (give its place with --config FILE)", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	if info.Size() > maxConfig {
		return "", fmt.Errorf("%s: %d bytes are too many for a configuration", path, info.Size())
	}
	text, err := os.ReadFile(path)
	return string(text), err
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
	err  error // what netguard said of it, if it was netguard
}

// Error implements error.
func (f finding) Error() string { return f.text }

// Unwrap returns what netguard said.
func (f finding) Unwrap() error { return f.err }

func (c *checker) joined() error {
	var errs []error
	for _, f := range c.errs {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// addf reports what is wrong with a key, at its line.
func (c *checker) addf(key, format string, args ...any) {
	at, line := c.path, c.lines[key]
	if line > 0 {
		at = fmt.Sprintf("%s:%d", c.path, line)
	}
	f := finding{line: line, text: fmt.Sprintf("%s: %s: %s", at, key, fmt.Sprintf(format, args...))}
	if len(args) == 1 {
		f.err, _ = args[0].(error)
	}
	c.errs = append(c.errs, f)
}

func (c *checker) config(f file) config {
	conf := config{
		stateDir:    c.absolute("state_dir", f.StateDir, defaultStateDir),
		tokenFile:   c.absolute("enrolment_token_file", f.TokenFile, defaultTokenFile),
		collectorID: f.CollectorID,
		budget:      collector.DefaultBudgetBytes,
	}
	conf.clockSocket = c.absolute("clock_socket", f.ClockSocket, "")
	conf.halfSocket = c.absolute("half_socket", f.HalfSocket, "")
	conf.packetSocket = c.absolute("packet_socket", f.PacketSocket, "")
	if f.TPM != noTPM {
		conf.tpm = c.absolute("tpm", f.TPM, boxkey.DefaultDevice)
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
	conf.update = c.updating(f.Update)
	conf.ports = c.ports(f)
	if conf.halfSocket != "" && conf.ports.Mode != netguard.Enforce {
		c.addf("half_socket", "systemd starts the collector half in guard.mode %q alone: leave it out", netguard.Enforce)
	}
	c.packets(&conf)
	conf.outside = c.outside(f.External)
	conf.user, conf.userGiven = f.Guard.User, f.Guard.User != ""
	if !conf.userGiven {
		conf.user = defaultUser
	}
	conf.console = c.absolute("guard.console", f.Guard.Console, "")
	c.apart(conf)
	return conf
}

// packets has the ports ask behind the socket for packet sockets.
func (c *checker) packets(conf *config) {
	if conf.packetSocket == "" {
		return
	}
	if conf.ports.Mode != netguard.Enforce {
		c.addf("packet_socket", "packet sockets are asked for in guard.mode %q alone: leave it out", netguard.Enforce)
	}
	conf.ports.Packets = packets.Remote{Path: conf.packetSocket}
}

// systemFolder tells that a folder belongs to the system, with all below it or, as
// /var/lib, for itself alone.
func systemFolder(dir string) bool {
	for _, whole := range []string{"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/dev", "/proc", "/sys"} {
		if dir == whole || strings.HasPrefix(dir, whole+"/") {
			return true
		}
	}
	return slices.Contains([]string{"/", "/var", "/var/lib", "/var/tmp", "/var/log", "/var/cache", "/var/run", "/run", "/tmp", "/home", "/root",
		"/opt", "/srv", "/mnt", "/media"}, dir)
}

// apart refuses a file of the supervisor's in the state folder: the collector
// half could put a link to another one in its place.
func (c *checker) apart(conf config) {
	if systemFolder(conf.stateDir) {
		c.addf("state_dir", "%s belongs to the system, and the collector half writes to its state folder: use one like %s", conf.stateDir, defaultStateDir)
	}
	for _, f := range []struct{ key, path string }{
		{"enrolment_token_file", conf.tokenFile},
		{"external.proxy_password_file", conf.outside.way.passwordFile},
		{"external.proxy_ca_file", conf.outside.way.caFile},
		{"guard.console", conf.console},
		{"clock_socket", conf.clockSocket},
		{"half_socket", conf.halfSocket},
		{"packet_socket", conf.packetSocket},
		{"update.program", conf.update.program},
		{"update.keys", conf.update.keys},
	} {
		if f.path != "" && strings.HasPrefix(f.path, conf.stateDir+"/") {
			c.addf(f.key, "%s lies in the state folder, which is the collector half's: put it elsewhere", f.path)
		}
	}
	if path, err := filepath.Abs(c.path); err == nil && strings.HasPrefix(path, conf.stateDir+"/") {
		c.addf("state_dir", "this configuration lies in the state folder, which is the collector half's: put it elsewhere")
	}
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
