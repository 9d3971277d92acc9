package site

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/testdata/need"
	"lwc/transport/wire"
)

// TestMain puts the tests into namespaces of their own.
func TestMain(m *testing.M) {
	code := 1
	var err error
	if Inside() {
		if err = Enter(); err == nil {
			code = m.Run()
		}
	} else {
		code, err = Reexec()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

const testTime = 3 * time.Minute

// running builds a site and starts all of it up to an applied configuration.
func running(t *testing.T, cfg Config) (context.Context, *Site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	return ctx, start(ctx, t, cfg)
}

// start is running with a time limit of the caller's.
func start(ctx context.Context, t *testing.T, cfg Config) *Site {
	t.Helper()
	cfg.Bin, cfg.Dir = binaries(t), t.TempDir()
	must(t, os.Chmod(filepath.Dir(cfg.Dir), 0o711)) // the collector half is another user
	if cfg.Devices == 0 {
		cfg.Devices = 24
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.finish(t) })
	must(t, s.StartCloud(ctx))
	must(t, s.StartDevices(ctx))
	must(t, s.StartCollector(ctx))
	must(t, s.WaitOnline(ctx))
	file, err := s.FleetFile()
	must(t, err)
	_, err = s.Cloud(ctx, "apply", "-f", file)
	must(t, err)
	must(t, s.WaitApplied(ctx))
	return s
}

// finish stops the site and shows its logs when the test failed.
func (s *Site) finish(t *testing.T) {
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !t.Failed() {
		return
	}
	for _, name := range []string{"lwcd", "lwc-cloud", "junosim", "mosquitto"} {
		t.Log(tail(s.Log(name)))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// binaries returns the folder that make build fills.
func binaries(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LWC_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "bin")
	}
	dir, err := filepath.Abs(dir)
	must(t, err)
	for _, name := range []string{"lwcd", "lwc-cloud", "junosim"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			need.Missing(t, "the programs in bin/ (make build)")
		}
	}
	return dir
}

// collect runs a collection to its end. Failed devices are no error here.
func collect(ctx context.Context, t *testing.T, s *Site) {
	t.Helper()
	_, err := s.Cloud(ctx, "collect", "--collector", Collector, "--wait")
	var exit *ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Code == 3) {
		t.Fatal(err)
	}
}

// sentLine is one line of junosim's log.
type sentLine struct {
	Device string `json:"device"`
	Item   string `json:"item"`
	SHA256 string `json:"sha256"`
}

type place struct{ device, item string }

// sent returns, for each item of each device, the hashes of all that junosim
// sent of it.
func sent(t *testing.T, s *Site) map[place]map[string]bool {
	t.Helper()
	all := map[place]map[string]bool{}
	must(t, readLines(s.SentLog(), func(b []byte) error {
		var l sentLine
		if err := json.Unmarshal(b, &l); err != nil {
			return err
		}
		p := place{l.Device, l.Item}
		if all[p] == nil {
			all[p] = map[string]bool{}
		}
		all[p][l.SHA256] = true
		return nil
	}))
	return all
}

// readLines calls each for every line of a file.
func readLines(path string, each func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if err := each(sc.Bytes()); err != nil {
			return err
		}
	}
	return sc.Err()
}

type storedDocument struct {
	ID      string         `json:"id"`
	Device  string         `json:"device"`
	Item    string         `json:"item"`
	Run     string         `json:"run"`
	Outcome string         `json:"outcome"`
	SHA256  string         `json:"sha256"`
	Raw     string         `json:"raw_sha256"`
	Flags   []string       `json:"flags"`
	Masked  map[string]int `json:"masked"`
}

func (d storedDocument) masked() bool { return slices.Contains(d.Flags, "masked") }

// sentAs is the hash of what the device sent.
func (d storedDocument) sentAs() string { return cmp.Or(d.Raw, d.SHA256) }

func stored(ctx context.Context, t *testing.T, s *Site) []storedDocument {
	t.Helper()
	out, err := s.Cloud(ctx, "facts", "list", "--collector", Collector, "--all", "--json")
	must(t, err)
	var docs []storedDocument
	must(t, json.Unmarshal([]byte(out), &docs))
	return docs
}

// checkStored proves that each item of each good device is stored exactly once,
// and that its bytes are what junosim sent, but for what was masked on the way:
// there the hash of the device's bytes is.
func checkStored(ctx context.Context, t *testing.T, s *Site) {
	t.Helper()
	good, _, err := s.Expected()
	must(t, err)
	docs, sentHashes, seen := stored(ctx, t, s), sent(t, s), map[place]int{}
	download := s.downloads(ctx, t)
	for i, d := range docs {
		p := place{d.Device, d.Item}
		seen[p]++
		raw := download(d.ID)
		if i == 0 {
			shown, err := s.Cloud(ctx, "facts", "get", "--run", d.Run, d.Device, d.Item)
			must(t, err)
			if shown != raw {
				t.Errorf("%s %s: the command line shows other bytes than the API", d.Device, d.Item)
			}
		}
		if got := wire.Digest([]byte(raw)); got != d.SHA256 || !sentHashes[p][d.sentAs()] {
			t.Errorf("%s %s: the stored bytes hash to %s, the store says %+v, junosim sent %v", d.Device, d.Item, got, d, sentHashes[p])
		}
		checkMasked(t, d, raw)
	}
	items := Items()
	if len(docs) != len(good)*len(items) {
		t.Errorf("%d documents are stored, want %d devices × %d items", len(docs), len(good), len(items))
	}
	for _, name := range good {
		for _, it := range items {
			if n := seen[place{name, it.Name}]; n != 1 {
				t.Errorf("%s %s is stored %d times", name, it.Name, n)
			}
		}
	}
}

// checkMasked proves that a document differs from what was sent only where it
// says so, and that a commit log names nobody.
func checkMasked(t *testing.T, d storedDocument, raw string) {
	t.Helper()
	if masked := d.masked(); masked != (d.Raw != "") || (!masked && len(d.Masked) > 0) {
		t.Errorf("%s %s: flags %v, hash of the device's bytes %q, masked %v", d.Device, d.Item, d.Flags, d.Raw, d.Masked)
	}
	if d.Item == "show-system-commit" && strings.Contains(raw, "<user>") && !d.masked() {
		t.Errorf("%s %s names users: %s", d.Device, d.Item, raw)
	}
}

type runState struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Expected int    `json:"expected"`
	Stored   int    `json:"stored"`
	Skipped  int    `json:"skipped"`
}

func runs(ctx context.Context, t *testing.T, s *Site) []runState {
	t.Helper()
	out, err := s.Cloud(ctx, "runs", "--json")
	must(t, err)
	var all []runState
	must(t, json.Unmarshal([]byte(out), &all))
	return all
}

// The main job: every item of 21 good devices stored as it was sent but for what
// is masked, the three bad ones named with the true reason.
func TestMainJob(t *testing.T) {
	ctx, s := running(t, Config{Behind: 6, Faulty: true})
	collect(ctx, t, s)
	checkStored(ctx, t, s)
	checkDevices(ctx, t, s)
	checkCounts(ctx, t, s)
}

// checkCounts proves that the manifest tells how much was masked, of what.
func checkCounts(ctx context.Context, t *testing.T, s *Site) {
	t.Helper()
	names := 0
	for _, d := range stored(ctx, t, s) {
		if d.masked() != (len(d.Masked) > 0) {
			t.Errorf("%s %s: flags %v, masked %v", d.Device, d.Item, d.Flags, d.Masked)
		}
		names += d.Masked["user-names"]
	}
	if names == 0 {
		t.Error("no user name was masked at the whole site")
	}
}

// checkDevices proves that the bad devices are named with the true reason, and
// that the good ones are known by model, version and serial.
func checkDevices(ctx context.Context, t *testing.T, s *Site) {
	t.Helper()
	_, bad, err := s.Expected()
	must(t, err)
	out, err := s.Cloud(ctx, "devices", "--collector", Collector, "--json")
	must(t, err)
	var rows []struct{ ID, Kind, Error, Serial, Model, Version string }
	must(t, json.Unmarshal([]byte(out), &rows))
	for _, r := range rows {
		if kind, isBad := bad[r.ID]; isBad && (r.Kind != kind || r.Error == "") {
			t.Errorf("%s: kind %q, want %q; words: %q", r.ID, r.Kind, kind, r.Error)
		} else if !isBad && (r.Serial == "" || r.Model == "" || r.Version == "") {
			t.Errorf("%s: identity is incomplete: %+v", r.ID, r)
		}
	}
}

// The same through a broker that is not the cloud's own.
func TestMainJobThroughMosquitto(t *testing.T) {
	ctx, s := running(t, Config{Behind: 6, Faulty: true, Mosquitto: need.Program(t, "mosquitto")})
	collect(ctx, t, s)
	checkStored(ctx, t, s)
	checkDevices(ctx, t, s)
}

// A power cut of either end in mid-run loses nothing and doubles nothing.
func TestKilledInMidRun(t *testing.T) {
	for name, cut := range map[string]func(context.Context, *testing.T, *Site){
		"lwcd": func(ctx context.Context, t *testing.T, s *Site) {
			s.KillCollector()
			must(t, s.StartCollector(ctx))
		},
		"lwc-cloud": func(ctx context.Context, t *testing.T, s *Site) {
			s.KillCloud()
			must(t, s.StartCloud(ctx))
		},
		"both": func(ctx context.Context, t *testing.T, s *Site) {
			s.KillCloud()
			s.KillCollector()
			must(t, s.StartCloud(ctx))
			must(t, s.StartCollector(ctx))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := running(t, Config{Behind: 6, Latency: "60ms"})
			_, err := s.Cloud(ctx, "collect", "--collector", Collector)
			must(t, err)
			want := len(Items()) * 24
			must(t, s.lwcd.waitFor(ctx, "part of the run to be stored", func() bool { return len(stored(ctx, t, s)) > want/4 }))
			cut(ctx, t, s)
			if n := len(stored(ctx, t, s)); n >= want {
				t.Fatalf("all %d documents were stored before the cut: the test shows nothing", n)
			}
			must(t, s.lwcd.waitFor(ctx, "the run to be complete", func() bool {
				all := runs(ctx, t, s)
				return len(all) == 1 && all[0].State == "complete"
			}))
			checkStored(ctx, t, s)
		})
	}
}

// Nothing of the customer's is on disk after a run: every file that lwcd could
// have written is searched for texts that stand in facts and credentials.
func TestNothingOnDisk(t *testing.T) {
	canary, began := "Kanarienvogel-"+wire.NewID(), time.Now()
	ctx, s := running(t, Config{Devices: 8, Behind: 2, Faulty: true, Canary: canary})
	inv, err := s.Inventory()
	must(t, err)
	collect(ctx, t, s)
	out, err := s.Cloud(ctx, "facts", "get", inv.Devices[0].Name, "show-interfaces-descriptions")
	must(t, err)
	if !strings.Contains(out, canary) {
		t.Fatal("the canary is not in the facts: the search would show nothing")
	}
	first := inv.Devices[0]
	texts := append(encoded(canary), first.Password)
	// While lwcd runs and after its end: a file may live for that long only.
	read := s.searchDisk(t, began, texts, first)
	must(t, s.StopCollector())
	read += s.searchDisk(t, began, texts, first)
	if found := contained(t, s.path("fleet.yaml"), []string{canary, first.Password}); read == 0 || len(found) != 2 {
		t.Fatalf("the search shows nothing: %d files read, the control file holds %q", read, found)
	}
	var names []string
	files, err := os.ReadDir(s.StateDir())
	must(t, err)
	for _, f := range files {
		names = append(names, f.Name())
	}
	if got := strings.Join(names, " "); got != "allowed.json bootstrap.json ca.pem cert.pem key.pem" {
		t.Errorf("the state folder holds %s", got)
	}
}
