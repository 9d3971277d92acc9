package stepclock

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A program with a stepped clock sees each step at once, its monotonic clock sees
// none, and setting its clock sets the page and not the machine's.
func TestSteppedProgram(t *testing.T) {
	p := startShown(t)
	page, err := NewPage(p.page)
	must(t, err)
	defer page.Close()
	must(t, p.start())
	for _, ahead := range []time.Duration{0, 36 * time.Hour, -400 * 24 * time.Hour, 1500 * time.Millisecond} {
		page.Set(ahead)
		p.check(t, "", ahead)
	}
	before := time.Now()
	p.check(t, fmt.Sprintf("set %d", before.Add(-time.Hour).UnixNano()), -time.Hour)
	if got := page.Ahead(); got > -time.Hour+slack || got < -time.Hour-slack {
		t.Errorf("the program set its clock back by an hour, the page says %v", got)
	}
	if step := time.Until(before.Round(0)) + time.Since(before); step > slack || step < -slack {
		t.Errorf("the clock of the machine was set by %v", step)
	}
}

// With a faster pace both clocks, timers and deadlines go faster; what was is kept.
func TestFasterProgram(t *testing.T) {
	p := startShown(t)
	page, err := NewPage(p.page)
	must(t, err)
	defer page.Close()
	must(t, p.start())
	p.check(t, "", 0)
	const faster = 60
	must(t, page.SetPace(faster))
	began := time.Now()
	p.ask(t, "wait 1m")
	p.ask(t, "deadline 1m")
	if took := time.Since(began); took < 2*time.Second || took > 2*time.Second+slack {
		t.Errorf("two minutes took %v", took)
	}
	must(t, page.SetPace(1))
	gained, err := page.Gained()
	must(t, err)
	if gained < 2*(faster-1)*time.Second {
		t.Errorf("it gained %v in two minutes", gained)
	}
	wall, mono := p.ask(t, "")
	if off := time.Until(wall) - gained; off > slack || off < -slack {
		t.Errorf("the wall clock is off by %v", off)
	}
	if off := mono - time.Since(p.from) - gained; off > slack || off < -slack {
		t.Errorf("the monotonic clock is off by %v", off)
	}
}

// slack is for how long a busy machine may take to answer.
const slack = 2 * time.Second

// shown is the program shown, built with a stepped clock.
type shown struct {
	page string
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Scanner
	from time.Time
}

func startShown(t *testing.T) *shown {
	t.Helper()
	dir := t.TempDir()
	must(t, Prepare(dir))
	bin := filepath.Join(dir, "shown.bin")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-modfile", filepath.Join(dir, "go.mod"), "-o", bin, "./shown")
	build.Stderr = os.Stderr
	must(t, build.Run())
	p := &shown{page: filepath.Join(dir, "page"), cmd: exec.CommandContext(t.Context(), bin)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), Env+"="+p.page), os.Stderr
	in, err := p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.in, p.out = in, bufio.NewScanner(out)
	t.Cleanup(func() {
		in.Close()
		_ = p.cmd.Wait() // it ends with its input, or with the test's context
	})
	return p
}

func (p *shown) start() error {
	p.from = time.Now()
	return p.cmd.Start()
}

// ask sends a line and returns both clocks of the program.
func (p *shown) ask(t *testing.T, line string) (wall time.Time, mono time.Duration) {
	t.Helper()
	_, err := fmt.Fprintln(p.in, line)
	must(t, err)
	if !p.out.Scan() {
		t.Fatal("the program ended")
	}
	var nanos int64
	_, err = fmt.Sscan(p.out.Text(), &nanos, (*int64)(&mono))
	must(t, err)
	return time.Unix(0, nanos), mono
}

// check compares both clocks of the program with ours.
func (p *shown) check(t *testing.T, line string, ahead time.Duration) {
	t.Helper()
	wall, mono := p.ask(t, line)
	if off := time.Until(wall) - ahead; off > slack || off < -slack {
		t.Errorf("%v ahead: the clock of the program is off by %v", ahead, off)
	}
	if off := time.Since(p.from) - mono; off > slack || off < -slack {
		t.Errorf("%v ahead: its monotonic clock is off by %v", ahead, off)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
