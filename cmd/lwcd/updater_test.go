package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/testdata/script"
	"lwc/transport/wire"
)

// program writes a script that only root can change.
func program(t *testing.T, text string) string {
	t.Helper()
	return script.Write(t, t.TempDir(), "updater", "#!/bin/sh\n"+text)
}

// working runs an updater until the test ends.
func working(t *testing.T, conf updating) *updater {
	t.Helper()
	u := newUpdater(conf, identity{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return u
}

// follow asks until the job has ended, and returns all that was said.
func follow(t *testing.T, u *updater, j halves.Update) (texts []string, last halves.Progress, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		p, err := u.ask(ctx, j)
		if err != nil || p.Ended {
			return texts, p, err
		}
		texts, j.After = append(texts, p.Text), p.Lines
	}
}

// The program gets the job as JSON, no environment, and its words come back; asked
// again, the result is told and nothing is run again.
func TestUpdate(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	u := working(t, updating{timeout: time.Minute, program: program(t, `
read -r order
[ -z "$HOME$USER$LWC_TEST" ] || { echo '{"state":"failed","text":"environment"}'; exit; }
echo x >> `+mark+`
printf '{"state":"running","text":"loading"}\n'
case "$order" in
*'"release":"1.2"'*'"source":"https://updates.example/1.2"'*) printf '{"state":"done","text":"installed\\u001b[1m 1.2","more":1}\n' ;;
*) printf '{"state":"failed","text":"what is that?"}\n' ;;
esac
`)})
	t.Setenv("LWC_TEST", "1")
	j := halves.Update{Job: wire.NewID(), Release: "1.2", Source: "https://updates.example/1.2"}
	for range 2 {
		texts, p, err := follow(t, u, j)
		if err != nil || !p.OK || p.Text != "installed[1m 1.2" || len(texts) > 1 || len(texts) == 1 && texts[0] != "loading" {
			t.Fatalf("%v, %+v, %v", texts, p, err)
		}
	}
	if b, err := os.ReadFile(mark); err != nil || string(b) != "x\n" {
		t.Errorf("it ran so often: %q, %v", b, err)
	}
	if _, p, err := follow(t, u, halves.Update{Job: wire.NewID()}); err != nil || p.OK || p.Text != "the updater says: what is that?" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, p, err := follow(t, u, j); err != nil || !p.OK {
		t.Errorf("after another job: %+v, %v", p, err)
	}
	if b, err := os.ReadFile(mark); err != nil || string(b) != "x\nx\n" {
		t.Errorf("two jobs ran so often: %q, %v", b, err)
	}
}

// An updater that wants files is asked once more when they are there; one that waits
// for a restart has ended, the job has not.
func TestUpdateWithFiles(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	text := `
read -r order
echo "$order" >> ` + mark + `
case "$order" in
*'"factory_reset":true'*) echo '{"state":"waiting","text":"forgetting"}' ;;
*'"files":"/spool"'*) echo '{"state":"running","text":"checking"}'; echo '{"state":"waiting","text":"installed"}' ;;
*) echo '{"state":"fetch"}' ;;
esac
`
	u := working(t, updating{timeout: time.Minute, spool: "/spool", program: program(t, text)})
	j := halves.Update{Job: wire.NewID(), Release: "1.2.0", RebootAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for range 2 {
		if _, p, err := follow(t, u, j); err != nil || p.OK || !p.Fetch || p.Waiting {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	j.Files = true
	for range 2 {
		if _, p, err := follow(t, u, j); err != nil || p.OK || p.Fetch || !p.Waiting || p.Text != "installed" {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if b, err := os.ReadFile(mark); err != nil || strings.Count(string(b), "\n") != 2 || !strings.Contains(string(b), `"reboot_at":"2026-01-02T03:04:05Z"`) {
		t.Errorf("it ran so often: %q, %v", b, err)
	}
	if _, p, err := follow(t, u, halves.Update{Job: wire.NewID(), Reset: true}); err != nil || !p.Waiting || p.Text != "forgetting" {
		t.Errorf("%+v, %v", p, err)
	}
	bare := working(t, updating{timeout: time.Minute, program: program(t, text)})
	if _, p, err := follow(t, bare, halves.Update{Job: wire.NewID()}); err != nil || p.OK || !strings.Contains(p.Text, "wants files") {
		t.Errorf("without a spool: %+v, %v", p, err)
	}
	if _, _, err := follow(t, bare, halves.Update{Job: wire.NewID(), Reset: true}); !errors.Is(err, halves.ErrRefused) {
		t.Errorf("a reset without a spool: %v", err)
	}
}

// What an updater leaves behind, as a reboot that is to come, does not make its work
// fail. It is less urgent than the supervisor.
func TestUpdaterLeavesSomethingBehind(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "nice")
	u := working(t, updating{timeout: time.Minute, program: program(t, `
for i in 1 2 3 4 5 6 7 8 9; do [ "$(nice)" = 0 ] && break; done
nice > `+mark+`
sleep 7 &
echo '{"state":"done","text":"rebooting"}'
`)})
	if err := nice(supervisorNice); err != nil {
		t.Logf("the supervisor's priority: %v", err)
	}
	t.Cleanup(func() { _ = nice(halfNice) })
	_, p, err := follow(t, u, halves.Update{Job: wire.NewID()})
	if err != nil || !p.OK || p.Text != "rebooting" {
		t.Errorf("%+v, %v", p, err)
	}
	if b, err := os.ReadFile(mark); err != nil || string(b) != "0\n" {
		t.Errorf("nice %q, %v", b, err)
	}
}

// An update that the end of lwcd cuts off has not failed: the next lwcd hands it over
// again.
func TestUpdateStaysOpen(t *testing.T) {
	u := newUpdater(updating{timeout: time.Minute, program: program(t, `echo '{"state":"running","text":"loading"}'; sleep 60`)},
		identity{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.run(ctx) }()
	j := halves.Update{Job: wire.NewID()}
	p, err := u.ask(t.Context(), j)
	if err != nil || p.Text != "loading" {
		t.Fatalf("%+v, %v", p, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if p, _ := u.progress(j.Job); p.Ended {
		t.Errorf("%+v", p)
	}
}

// Whatever an updater does wrong, the job ends with words that say what.
func TestUpdatersThatFail(t *testing.T) {
	for _, c := range []struct{ about, text, words string }{
		{"silent", "cat >/dev/null", "without saying that it is done"},
		{"a wrong word", `echo '{"state":"ready"}'; sleep 60`, `line 1: the state "ready" is none of`},
		{"no JSON", `echo hello; sleep 60`, `line 1: it is not {"state"`},
		{"a long line", `head -c 9999 /dev/zero; sleep 60`, "token too long"},
		{"without end", `while :; do echo '{"state":"running"}'; done`, "more than 10000 lines"},
		{"a crash", `echo "no disk" >&2; exit 3`, "exit status 3: no disk"},
		{"done and a crash", `echo '{"state":"done"}'; exit 3`, "exit status 3"},
		{"slow", `trap '' TERM; sleep 60 & wait; sleep 60`, "took longer than 2s"},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			u := working(t, updating{timeout: 2 * time.Second, program: program(t, c.text)})
			_, p, err := follow(t, u, halves.Update{Job: wire.NewID()})
			if err != nil || p.OK || !strings.Contains(p.Text, c.words) {
				t.Errorf("%+v, %v; want %q", p, err, c.words)
			}
		})
	}
}

func TestUpdatesThatAreRefused(t *testing.T) {
	if _, _, err := follow(t, working(t, updating{}), halves.Update{Job: wire.NewID()}); !errors.Is(err, halves.ErrRefused) {
		t.Errorf("without a program: %v", err)
	}
	open := program(t, `echo '{"state":"done"}'`)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, p, err := follow(t, working(t, updating{program: open, timeout: time.Minute}), halves.Update{Job: wire.NewID()}); err != nil || !strings.Contains(p.Text, "chmod go-w") {
		t.Errorf("that others may write: %+v, %v", p, err)
	}
	u := working(t, updating{timeout: time.Minute, program: program(t, `read -r x; case "$x" in *slow*) sleep 60;; esac; echo '{"state":"done"}'`)})
	for i := range maxUpdates {
		if _, p, err := follow(t, u, halves.Update{Job: wire.NewID()}); err != nil || !p.OK {
			t.Fatalf("%d: %+v, %v", i, p, err)
		}
	}
	if _, _, err := follow(t, u, halves.Update{Job: wire.NewID()}); !errors.Is(err, halves.ErrRefused) || !strings.Contains(fmt.Sprint(err), "6 updates") {
		t.Errorf("too many: %v", err)
	}
}

func FuzzSaid(f *testing.F) {
	for _, s := range []string{`{"state":"running","text":"a"}`, `{"state":"done"}`, `{"state":"failed","text":"\u0000\ud800"}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		one, err := parseSaid(line)
		if err != nil {
			if one != (said{}) {
				t.Errorf("%+v beside %v", one, err)
			}
			return
		}
		if len(one.Text) > maxSaidText+len("…") || strings.ContainsAny(one.Text, "\n\x00\x1b") {
			t.Errorf("%q", one.Text)
		}
	})
}

func TestUpdateConfig(t *testing.T) {
	const ports = "[guard]\nmode = \"unprotected\"\n"
	c, err := parseConfig("f", ports+"[update]\nprogram = \"/usr/lib/lwcd/updater\"\n")
	if err != nil || c.update != (updating{program: "/usr/lib/lwcd/updater", timeout: defaultUpdate}) || !c.outside.cloudClock {
		t.Errorf("%+v, %v, %v", c.update, c.outside.cloudClock, err)
	}
	c, err = parseConfig("f", ports+"[external]\ncloud_clock = false\n[update]\nprogram = \"/u\"\ntimeout = \"90s\"\n")
	if err != nil || c.update.timeout != 90*time.Second || c.outside.cloudClock {
		t.Errorf("%+v, %v, %v", c.update, c.outside.cloudClock, err)
	}
	for text, want := range map[string]string{
		"program = \"updater\"":                 `f:4: update.program: "updater" is not an absolute path`,
		"program = \"/u --now\"":                "without arguments",
		"program = \"/var/lib/lwcd/u\"":         "lies in the state folder",
		"program = \"/u\"\ntimeout = \"2h\"":    "2h0m0s is not between 1s and 1h50m0s",
		"program = [\"/u\"]":                    "update.program: the value is of the wrong type",
		"programme = \"/u\"":                    "update.programme: is not a key",
		"program = \"/u\"\nspool = \"/s\"":      "update.spool and update.keys go together",
		"keys = \"/var/lib/lwcd/k\"":            "lies in the state folder",
		"program = \"/u\"\ntimeout = \"soon\"":  `"soon" is not a duration`,
		"program = \"/u\"\ntimeout = \"100ms\"": "100ms is not between",
	} {
		if _, err := parseConfig("f", ports+"[update]\n"+text+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
