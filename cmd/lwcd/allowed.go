package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"lwc/netguard"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

const (
	// maxBootstrap bounds the file of that name, and maxEndpoints what is taken
	// from it: the collector half can write there.
	maxBootstrap = 64 << 10
	maxEndpoints = 16
)

// allowed is the list of what the External Port may dial, as the supervisor
// knows it: what the configuration says, or else where the enrolment token and
// the saved identity lead. Where a proxy leads to the cloud, the cloud itself
// need not be dialled.
type allowed struct {
	conf  config
	state folder
	set   func([]netguard.Endpoint) error

	mu    sync.Mutex // held while set runs, so that the newest list is set last
	token []netguard.Endpoint
	saved []netguard.Endpoint
}

// list is called with mu held, or before the list is shared.
func (a *allowed) list() []netguard.Endpoint {
	out := slices.Clone(a.conf.ports.Allow)
	way := a.conf.outside.way
	if len(out) == 0 && way.direct() {
		out = slices.Concat(a.token, a.saved)
	}
	if !way.direct() {
		out = append(out, way.endpoint())
	}
	return append(out, a.conf.outside.ntp...)
}

// useToken adds the cloud of a token, and lets an enrolment save where it leads.
// A text that is no token adds nothing: the collector half says what is wrong
// with it.
func (a *allowed) useToken(text []byte) error {
	held := secret.New(text)
	defer held.Wipe()
	token, err := wire.ParseToken(wire.EnrolToken, held)
	if err != nil {
		return nil
	}
	defer token.Secret.Wipe()
	to, err := urlEndpoint(token.URL)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = []netguard.Endpoint{to}
	return errors.Join(a.state.unseal(), a.set(a.list()))
}

// useIdentity reads where the saved identity leads. Without one there is
// nothing to add. What an enrolment saved is believed while its token is there:
// nobody but an administrator puts one there.
func (a *allowed) useIdentity() error {
	_, absent := tokenFile{path: a.conf.tokenFile}.Stamp(context.Background())
	found, err := a.state.endpoints(absent == nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saved = found
	return errors.Join(err, a.set(a.list()))
}

// urlEndpoint is where an https URL leads.
func urlEndpoint(s string) (netguard.Endpoint, error) {
	u, err := url.Parse(s)
	if err != nil {
		return netguard.Endpoint{}, err
	}
	port := u.Port()
	if port == "" {
		port = strconv.Itoa(httpsPort)
	}
	return endpoint(net.JoinHostPort(u.Hostname(), port))
}

// httpsPort is RFC 9110 section 4.2.2.
const httpsPort = 443

func parseBootstrap(text []byte) ([]netguard.Endpoint, error) {
	var saved struct {
		URL       string          `json:"url"`
		Endpoints []wire.Endpoint `json:"endpoints"`
	}
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, fmt.Errorf("reading where the cloud is: %w", err)
	}
	var out []netguard.Endpoint
	if e, err := urlEndpoint(saved.URL); err == nil {
		out = append(out, e)
	}
	for _, way := range saved.Endpoints {
		if e, err := endpoint(way.Host); err == nil && len(out) < maxEndpoints && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out, nil
}
