package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"lwc/image/sitefile"
)

// Provisioner gives a box its settings. All fields but Log, Restart and Works are needed.
type Provisioner struct {
	Volumes Volumes
	// Settings is the folder on the state partition that keeps them; it is made.
	Settings string
	// RAM is the folder for what lwcd reads, and for the status; it exists.
	RAM string
	// State is lwcd's state folder: a certificate in it means that the box has enrolled.
	State string
	// Check tells what lwcd itself would object to. It is called with good files only.
	Check func(*sitefile.File) []sitefile.Problem
	// Restart has lwcd read its configuration anew, where one that it may be running
	// with was replaced.
	Restart func(context.Context) error
	// Works tells whether the two ports are open with the settings that there are: a file
	// that names neither of their cards is for another box then. Nil: it is not known.
	Works func() bool
	// Log gets what changes; it holds no secrets.
	Log *slog.Logger

	last      Status
	givenID   string          // of the token that was put into RAM last
	stubborn  map[string]bool // volumes on which a token could not be overwritten
	lingering bool            // a token was in RAM at the last look, after the enrolment
}

// The names in the folders.
const (
	settingsFile = sitefile.Name
	tokenIDFile  = "token-id" // the public name of the token that the settings came with
	certFile     = "cert.pem"
	statusFile   = "provision.json"
	daemonFile   = "lwcd.toml"
	tokenFile    = "enrol.token"
	passwordFile = "proxy.password"
	proxyCAFile  = "proxy-ca.pem"
	restartFile  = "restart-due" // lwcd has other settings than those there
)

// A box that waits looks often: somebody stands before it. One that has enrolled
// need not wear out the stick that was left in it.
const (
	lookOften  = 2 * time.Second
	lookSeldom = 10 * time.Second
)

// Run looks until ctx ends. What goes wrong in a look is told in the status and in
// the log; the next look tries again.
func (p *Provisioner) Run(ctx context.Context) error {
	for {
		if _, err := p.Look(ctx); err != nil && ctx.Err() == nil {
			p.log().Error("looking for settings", "error", err)
		}
		pause := lookOften
		if p.last.State == Enrolled && len(p.last.Problems) == 0 {
			pause = lookSeldom
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (p *Provisioner) log() *slog.Logger {
	if p.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Log
}

// Look looks once at what is kept and at all volumes, and writes the status when
// that changed. What the box keeps counts before any volume is touched, since one
// that is damaged may hold up whoever reads it.
func (p *Provisioner) Look(ctx context.Context) (Status, error) {
	if p.last.State == "" {
		p.stubborn = map[string]bool{}
		if err := p.atStart(ctx); err != nil {
			return p.last, err
		}
	}
	k, err := p.kept()
	if err == nil && k.file == nil {
		err = p.makeSettings() // a state partition that is not there is told before a file is asked for
	}
	if err == nil {
		err = p.restartDue(ctx)
	}
	if err != nil {
		return p.tell(p.trouble(k, err))
	}
	all, err := p.Volumes.List(ctx)
	if err != nil {
		return p.last, fmt.Errorf("listing volumes: %w", err)
	}
	var files []found
	for _, v := range all {
		files = append(files, search(ctx, p.Volumes, v))
	}
	s, err := p.decide(ctx, k, files)
	if err != nil && ctx.Err() == nil {
		s, err = p.trouble(k, err), nil
	}
	if err != nil {
		return p.last, err
	}
	return p.tell(s)
}

// atStart gives lwcd what the box kept. What goes wrong is told by the look itself.
func (p *Provisioner) atStart(ctx context.Context) error {
	k, unread := p.kept()
	if k.file == nil {
		return nil
	}
	s := Status{State: k.state(), Source: kept}
	if err := errors.Join(p.hand(ctx, k.file), unread); err != nil {
		s = p.trouble(k, err)
	}
	_, err := p.tell(s)
	return err
}

// makeSettings makes the settings' folder, root's alone.
func (p *Provisioner) makeSettings() error {
	err := os.Mkdir(p.Settings, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// kept is the source of settings that no volume has any more.
const kept = "the settings that the box keeps"

// knowledge is what the box has.
type knowledge struct {
	file     *sitefile.File // nil: no settings
	text     []byte         // of the settings' file
	tokenID  string
	taken    history
	enrolled bool
}

func (k knowledge) state() State {
	switch {
	case k.file == nil:
		return Waiting
	case k.enrolled:
		return Enrolled
	}
	return Ready
}

// kept reads what the box knows. Settings that are damaged count as none. With an error
// they are there all the same, where only something beside them cannot be read.
func (p *Provisioner) kept() (knowledge, error) {
	var k knowledge
	info, err := os.Lstat(filepath.Join(p.State, certFile))
	k.enrolled = err == nil && info.Mode().IsRegular() && info.Size() > 0
	if k.text, err = os.ReadFile(filepath.Join(p.Settings, settingsFile)); errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	if k.file, err = sitefile.ParseSettings(settingsFile, k.text); err != nil {
		k.file = nil // a file that is whole again replaces them
	}
	id, err := os.ReadFile(filepath.Join(p.Settings, tokenIDFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k.tokenID = string(id)
	k.taken, err = p.readTaken()
	return k, err
}

// trouble is the status when the state partition or RAM fails.
func (p *Provisioner) trouble(k knowledge, err error) Status {
	state := k.state()
	if state == Waiting {
		state = Refused
	}
	return Status{State: state, Source: p.last.Source, Problems: []sitefile.Problem{{Kind: KindState,
		Text: "the box cannot keep its settings: " + cause(err), Do: "take out every other disk or stick that holds this image, and switch it off and on; if that does not help, flash the image again"}}}
}

// tell writes the status when it is another than the last.
func (p *Provisioner) tell(s Status) (Status, error) {
	s.V = 1
	if s.same(p.last) {
		return p.last, nil
	}
	s.Since = time.Now().UTC().Truncate(time.Second)
	if err := writeStatus(filepath.Join(p.RAM, statusFile), s); err != nil {
		return p.last, err
	}
	p.last = s
	p.log().Info("settings", "state", s.State, "source", s.Source, "problems", len(s.Problems))
	for _, one := range s.Problems {
		p.log().Warn("settings", "problem", one.String())
	}
	return s, nil
}
