package device

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

var (
	errUnpinned = errors.New("no host key is pinned")
	errChanged  = errors.New("host key is not a pinned one")
)

// keyError is a host key that is not accepted.
type keyError struct {
	why   error  // errUnpinned or errChanged
	shown string // its type and fingerprint
}

// Error implements error.
func (e *keyError) Error() string { return fmt.Sprintf("%v: it shows %s", e.why, e.shown) }

// Unwrap implements errors.Unwrap.
func (e *keyError) Unwrap() error { return e.why }

// hostKeyTypes are offered in this order: an RSA key costs a device most, and
// its rsa-sha2 algorithms are all of the one type ssh-rsa.
var hostKeyTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
}

// dsa is the key type of releases that know no better; only Legacy allows it.
const dsa = "ssh-dss"

// pins are the host keys that one hop may show.
type pins struct {
	keys         []ssh.PublicKey
	fingerprints []string
}

func parsePins(lines []string) (pins, error) {
	var p pins
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "SHA256:") {
			p.fingerprints = append(p.fingerprints, strings.TrimRight(line, "="))
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return pins{}, fmt.Errorf("reading host key %.40q: %w", line, err)
		}
		p.keys = append(p.keys, key)
	}
	return p, nil
}

func (p pins) empty() bool { return len(p.keys)+len(p.fingerprints) == 0 }

func (p pins) holds(key ssh.PublicKey) bool {
	same := func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }
	return slices.ContainsFunc(p.keys, same) || slices.Contains(p.fingerprints, ssh.FingerprintSHA256(key))
}

// types returns the key types to offer: a server shows one key only, so that it
// must be of a pinned type. A fingerprint does not tell its type; then each type
// but those seen to be wrong is offered.
func (p pins) types(wrong []string, legacy bool) []string {
	var types []string
	known := hostKeyTypes
	if legacy {
		known = append(slices.Clone(known), dsa)
	}
	for _, t := range known {
		pinned := p.empty() || len(p.fingerprints) > 0 ||
			slices.ContainsFunc(p.keys, func(k ssh.PublicKey) bool { return k.Type() == t })
		if pinned && !slices.Contains(wrong, t) {
			types = append(types, t)
		}
	}
	return types
}

// algorithms returns the signature algorithms of the given key types.
func algorithms(types []string, legacy bool) []string {
	var all []string
	for _, t := range types {
		switch {
		case t != ssh.KeyAlgoRSA:
			all = append(all, t)
		case legacy:
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA)
		default:
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
	}
	return all
}

// verify decides about the key that a hop shows.
func (p pins) verify(key ssh.PublicKey, trustFirst bool) (firstUse bool, err error) {
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	switch {
	case p.holds(key):
		return false, nil
	case !p.empty():
		return false, &keyError{errChanged, shown}
	case trustFirst:
		return true, nil
	}
	return false, &keyError{errUnpinned, shown}
}
