package fleet

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// CheckHostKey returns why line is not a host key, or nil. A host key is one
// line as in a .pub file ("ssh-ed25519 AAAA… comment") or the fingerprint that
// ssh-keygen -l prints ("SHA256:…").
func CheckHostKey(line string) error {
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
	_, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err == nil && len(options) == 0 {
		return nil
	}
	return errors.New(hostKeyHint(line))
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
