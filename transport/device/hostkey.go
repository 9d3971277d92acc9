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
	errNoCert   = errors.New("host key has no certificate of the authority")
	errBadCert  = errors.New("certificate of the host is not good")
)

// keyError is a host key that is not accepted.
type keyError struct {
	why   error  // one of the above
	shown string // its type and fingerprint
	more  error  // what is wrong with a certificate; nil: no more to tell
}

// Error implements error.
func (e *keyError) Error() string {
	if e.more != nil {
		return fmt.Sprintf("%v: %v: it shows %s", e.why, e.more, e.shown)
	}
	return fmt.Sprintf("%v: it shows %s", e.why, e.shown)
}

// Unwrap implements errors.Unwrap.
func (e *keyError) Unwrap() error { return e.why }

// hostKeyTypes are offered in this order: an RSA key costs a device most, and
// its rsa-sha2 algorithms are all of the one type ssh-rsa.
var hostKeyTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
}

// hostCertAlgorithms are offered before the bare keys where an authority is
// pinned.
var hostCertAlgorithms = []string{
	ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
}

// dsa is the key type of releases that know no better; only Legacy allows it.
const dsa = "ssh-dss"

// pins are the host keys that one hop may show.
type pins struct {
	keys         []ssh.PublicKey
	fingerprints []string
	authorities  []ssh.PublicKey
	principals   []string // that a certificate must be for: one of them
}

const authorityMark = "@cert-authority"

// maxPin bounds one line: an RSA key of 16384 bits has some 2,800 characters.
const maxPin = 16 << 10

func parsePins(lines []string) (pins, error) {
	var p pins
	for _, line := range lines {
		if err := p.add(strings.TrimSpace(line)); err != nil {
			return pins{}, fmt.Errorf("reading host key %.40q: %w", line, err)
		}
	}
	return p, nil
}

func (p *pins) add(line string) error {
	if fp, ok := strings.CutPrefix(line, "SHA256:"); ok {
		p.fingerprints = append(p.fingerprints, "SHA256:"+strings.TrimRight(fp, "="))
		return nil
	}
	rest, authority := strings.CutPrefix(line, authorityMark+" ")
	key, err := parsePin(strings.TrimSpace(rest), authority)
	switch {
	case err != nil:
		return err
	case authority:
		p.authorities = append(p.authorities, key)
	default:
		p.keys = append(p.keys, key)
	}
	return nil
}

// parsePin reads one public key. Of a known_hosts line the names are ignored,
// since a pin is of one hop; before an authority they would limit it, and such a
// limit is never dropped in silence.
func parsePin(line string, authority bool) (ssh.PublicKey, error) {
	switch {
	case len(line) > maxPin:
		return nil, errors.New("it is too long")
	case strings.ContainsAny(line, "\r\n"):
		return nil, errors.New("it has several lines")
	case strings.HasPrefix(line, "@"):
		return nil, errors.New("its marker is not known")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return nil, foreign{err}
	case authority && len(options) > 0:
		return nil, errors.New("an authority takes no host names or options")
	}
	if _, cert := key.(*ssh.Certificate); cert {
		return nil, errors.New("it is a certificate: pin the key of its authority")
	}
	return key, nil
}

func (p pins) empty() bool { return len(p.keys)+len(p.fingerprints)+len(p.authorities) == 0 }

func contains(keys []ssh.PublicKey, key ssh.PublicKey) bool {
	raw := key.Marshal()
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), raw) })
}

func (p pins) holds(key ssh.PublicKey) bool {
	return contains(p.keys, key) || slices.Contains(p.fingerprints, ssh.FingerprintSHA256(key))
}

// types returns the key types to offer: a server shows one key only, so that it
// must be of a pinned type. A fingerprint does not tell its type; then each type
// but those seen to be wrong is offered. Beside an authority they are offered
// all, to tell what a server without a certificate shows.
func (p pins) types(wrong []string, legacy bool) []string {
	var types []string
	known := hostKeyTypes
	if legacy {
		known = append(slices.Clone(known), dsa)
	}
	for _, t := range known {
		pinned := p.empty() || len(p.fingerprints)+len(p.authorities) > 0 ||
			slices.ContainsFunc(p.keys, func(k ssh.PublicKey) bool { return k.Type() == t })
		if pinned && !slices.Contains(wrong, t) {
			types = append(types, t)
		}
	}
	return types
}

// algorithms returns what to ask for: certificates where an authority is pinned,
// then the signature algorithms of the given key types.
func (p pins) algorithms(types []string, legacy bool) []string {
	var all []string
	if len(p.authorities) > 0 {
		all = append(all, hostCertAlgorithms...)
	}
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

// verify decides about what a hop shows, a key or a certificate.
func (p pins) verify(shown ssh.PublicKey, trustFirst bool) (firstUse bool, err error) {
	key := bare(shown)
	text := key.Type() + " " + ssh.FingerprintSHA256(key)
	cert, certified := shown.(*ssh.Certificate)
	switch {
	case p.holds(key):
		return false, nil
	case len(p.authorities) > 0 && certified:
		if err := p.checkCert(cert); err != nil {
			return false, &keyError{errBadCert, text, err}
		}
		return false, nil
	case len(p.keys)+len(p.fingerprints) > 0:
		return false, &keyError{errChanged, text, nil}
	case len(p.authorities) > 0:
		return false, &keyError{errNoCert, text, nil}
	case trustFirst:
		return true, nil
	}
	return false, &keyError{errUnpinned, text, nil}
}

// bare returns the key of a certificate, or the key itself.
func bare(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

// checkCert verifies a host certificate: its authority, that it is of a host and
// names this one, its time and its signature. One that names nobody is refused:
// it would be good for all.
func (p pins) checkCert(cert *ssh.Certificate) error {
	switch {
	case cert.CertType != ssh.HostCert:
		return errors.New("it is not that of a host")
	case !contains(p.authorities, cert.SignatureKey):
		return errors.New("another authority signed it")
	case cert.Signature == nil || isWeak(cert.Signature.Format):
		return errors.New("its signature rests on SHA-1")
	}
	if err := current(cert); err != nil {
		return err
	}
	for _, name := range p.principals {
		if name != "" && slices.Contains(cert.ValidPrincipals, name) {
			if err := new(ssh.CertChecker).CheckCert(name, cert); err != nil {
				return foreign{err}
			}
			return nil
		}
	}
	return fmt.Errorf("it is for %s", plain(strings.Join(cert.ValidPrincipals, ", "), maxDetail))
}
