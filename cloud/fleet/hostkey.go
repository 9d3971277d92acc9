package fleet

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// CheckHostKey returns why line is not a host key, or nil. A host key is one
// line as in a .pub file ("ssh-ed25519 AAAA… comment") or the fingerprint that
// ssh-keygen -l prints ("SHA256:…"). "@cert-authority " before such a line makes
// it the key of an authority: host certificates that it signed are taken.
func CheckHostKey(line string) error {
	if strings.HasPrefix(line, "@") {
		return checkAuthority(line)
	}
	if fp, ok := strings.CutPrefix(line, "SHA256:"); ok {
		sum, err := base64.RawStdEncoding.Strict().DecodeString(fp)
		if err != nil || len(sum) != 32 {
			return errors.New("a SHA256: fingerprint has 43 characters of base64 after the colon, as ssh-keygen -l prints them")
		}
		return nil
	}
	if strings.HasPrefix(line, "MD5:") {
		return errors.New("MD5 fingerprints are not accepted: give the SHA256 one (ssh-keygen -l -E sha256)")
	}
	if strings.ContainsAny(line, "\r\n") {
		return errors.New("it has more than one line: give each key an entry of its own")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if _, signed := key.(*ssh.Certificate); signed {
		return errors.New(`this is a host certificate: give the key of the authority that signed it, as "@cert-authority ssh-ed25519 AAAA…"`)
	}
	if err == nil && len(options) == 0 {
		return nil
	}
	return errors.New(hostKeyHint(line))
}

// authorityMark stands before the key of an authority, as in known_hosts
// (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
const authorityMark = "@cert-authority "

func checkAuthority(line string) error {
	key, ok := strings.CutPrefix(line, authorityMark)
	key = strings.TrimSpace(key)
	switch {
	case !ok:
		return errors.New(`the only word that may stand here is "@cert-authority", then the key: "@cert-authority ssh-ed25519 AAAA…"`)
	case strings.HasPrefix(key, "SHA256:"), strings.HasPrefix(key, "@"):
		return errors.New(`an authority needs its whole public key: "@cert-authority ssh-ed25519 AAAA…"`)
	}
	if _, hosts, _, _, _, err := ssh.ParseKnownHosts([]byte(line)); err == nil && len(strings.Fields(key)) >= 3 && CheckHostKey(key) != nil {
		return fmt.Errorf("this is a line of known_hosts: leave out the host names (%s)", strings.Join(hosts, ","))
	}
	return CheckHostKey(key)
}

// hostKeyHint tells the common mistakes apart.
func hostKeyHint(line string) string {
	fields := strings.Fields(line)
	if _, _, _, _, _, err := ssh.ParseKnownHosts([]byte(line)); err == nil && len(fields) >= 3 {
		return "this is a line of known_hosts: leave out its first word, the host name"
	}
	if bytes.HasPrefix([]byte(line), []byte("-----BEGIN")) {
		return "this is a private key or certificate: give the public host key (the .pub file)"
	}
	if len(fields) == 1 && strings.HasPrefix(line, "AAAA") {
		return `the key type is missing before it, as in "ssh-ed25519 AAAA…"`
	}
	return `not a host key: give a line like "ssh-ed25519 AAAA…" or a fingerprint "SHA256:…"`
}
