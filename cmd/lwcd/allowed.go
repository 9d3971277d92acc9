package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"lwc/netguard"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// allowed is the list of what the External Port may dial: what the configuration
// says, or else what the enrolment token names. Both were put on the box by a
// person. The list of the token is kept in a file that the collector half can
// neither write nor replace; nothing that the half wrote is read for it. Where a
// proxy leads to the cloud, the cloud itself need not be dialled.
type allowed struct {
	conf  config
	state folder
	set   func([]netguard.Endpoint) error

	mu   sync.Mutex // held while set runs, so that the newest list is set last
	kept tokenList
}

// tokenList is what an enrolment token named, as it is kept.
type tokenList struct {
	Token     string   `json:"token"`     // its public name
	Endpoints []string `json:"endpoints"` // host:port
	// Enrolled tells that the box has enrolled with it: no other token replaces the
	// list then.
	Enrolled bool `json:"enrolled"`
}

var (
	// errEnrolled refuses a token that would change what an enrolled box may dial.
	errEnrolled = errors.New("this box has enrolled already, and what it may dial stays as that token said: " +
		"to enrol it anew, empty the state folder, start lwcd again and give it a new token")
	// errNoList says that an identity came without the list of its token.
	errNoList = errors.New("there is an identity, but not the list of what its token allowed to be dialled: " +
		"give external.allow, or enrol anew: empty the state folder and give it a new token")
)

// list is called with mu held.
func (a *allowed) list() ([]netguard.Endpoint, error) {
	out := slices.Clone(a.conf.ports.Allow)
	way := a.conf.outside.way
	var err error
	if len(out) == 0 && way.direct() {
		out, err = endpoints(a.kept.Endpoints)
	}
	if !way.direct() {
		out = append(out, way.endpoint())
	}
	return append(out, a.conf.outside.ntp...), err
}

// endpoints reads a list of host:port, all of it or nothing.
func endpoints(list []string) ([]netguard.Endpoint, error) {
	var out []netguard.Endpoint
	for _, s := range list {
		e, err := endpoint(s)
		if err != nil {
			return nil, fmt.Errorf("reading what may be dialled: %w", err)
		}
		out = append(out, e)
	}
	return out, nil
}

// apply is called with mu held.
func (a *allowed) apply() error {
	list, err := a.list()
	return errors.Join(err, a.set(list))
}

// load takes the list that was kept. Without one, or with one that cannot be
// believed, the token's part of the list is empty.
func (a *allowed) load() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, err := a.state.list()
	a.kept = kept
	if errors.Is(err, fs.ErrNotExist) {
		err = a.missing()
	}
	return errors.Join(err, a.apply())
}

// missing tells whether a list should be there.
func (a *allowed) missing() error {
	if len(a.conf.ports.Allow) > 0 || !a.conf.outside.way.direct() || !a.state.hasIdentity() {
		return nil
	}
	return errNoList
}

// offer takes the list of a token in place of the one before, and keeps it. On an
// error nothing has changed, and the token must not be used. A text that is no
// token changes nothing either: the collector half says what is wrong with it.
func (a *allowed) offer(text []byte) error {
	held := secret.New(text)
	defer held.Wipe()
	token, err := wire.ParseToken(wire.EnrolToken, held)
	if err != nil {
		return nil
	}
	defer token.Secret.Wipe()
	reach, err := token.Reach()
	if err == nil {
		_, err = endpoints(reach)
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// From the disk: a folder that was emptied is one of a new box.
	if kept, err := a.state.list(); err == nil && kept.Enrolled {
		return errEnrolled
	}
	return a.change(tokenList{Token: token.ID, Endpoints: reach})
}

// enrolled notes that the box has enrolled with the token that was offered last.
func (a *allowed) enrolled() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept.Token == "" || a.kept.Enrolled {
		return nil
	}
	now := a.kept
	now.Enrolled = true
	return a.change(now)
}

// change is called with mu held. What is on the disk counts after a restart, so
// that comes first.
func (a *allowed) change(to tokenList) error {
	if err := a.state.keep(to); err != nil {
		return err
	}
	a.kept = to
	return a.apply()
}
