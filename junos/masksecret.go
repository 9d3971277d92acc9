package junos

import (
	"bytes"
	"regexp"
)

var (
	privateKeyStart = regexp.MustCompile(`-{4,5} ?BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)? ?-{4,5}`)
	privateKeyEnd   = regexp.MustCompile(`-{4,5} ?END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)? ?-{4,5}`)
)

// communityUse is what follows "community public" in a configuration.
var communityUse = map[string]bool{" {": true, " authorization": true, " clients": true, " client-list-name": true, " view": true, " routing-instance": true}

// communityValue: snmp community public, community 'public', community=public,
// trap-community public. What looks like a BGP community is none.
func communityValue(p []byte, i, j int) (from, to int) {
	if byteAt(p, i-1) == '_' {
		return 0, 0
	}
	named := j
	for _, more := range []string{"-name", " name", "-string", " string"} {
		if hasFold(p[j:], more) {
			j += len(more)
			break
		}
	}
	if hasFold(p[j:], " from ") || hasFold(p[j:], " (") {
		return refusedCommunity(p, j)
	}
	if from, to = assigned(p, j, &plainEnd); from < to {
		if bytes.IndexByte(p[from:to], ':') >= 0 {
			return 0, 0
		}
		return from, to
	}
	if from, to = quotedValue(p, i, j); from < to {
		return from, to
	}
	if from = blanks(p, j); from == j {
		return 0, 0
	}
	to = until(p, from, &textEnd)
	before := p[max(0, i-5):i]
	switch after := p[to:until(p, min(to+1, len(p)), &spaceClass)]; {
	case hasFold(before, "snmp ") || hasFold(before, "snmp-") || hasFold(before, "trap ") || hasFold(before, "trap-"),
		communityUse[string(after)], named < j && inSetLine(p):
		return from, to
	}
	return 0, 0
}

// refusedCommunity: unauthorized SNMP community from 192.0.2.1 to 192.0.2.2
// (public), unknown community name (public).
func refusedCommunity(p []byte, j int) (from, to int) {
	n := bytes.IndexByte(p[j:], '(')
	if n < 0 {
		return 0, 0
	}
	from = j + n + 1
	if n = bytes.IndexByte(p[from:], ')'); n < 0 || bytes.IndexByte(p[from:from+n], ':') >= 0 {
		return 0, 0
	}
	return from, from + n
}

// trapGroupValue: trap-group public { …, set snmp trap-group public …: it is the
// community of the traps.
func trapGroupValue(p []byte, i, j int) (from, to int) {
	if from, to = plainValue(p, i, j); inSetLine(p) || hasFold(p[to:], " {") {
		return from, to
	}
	return 0, 0
}

// inSetLine tells whether a line is a command that sets a part of a configuration.
func inSetLine(p []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(p, " \t"), []byte("set ")) }

// keyValue: key "x"; authentication md5 1 key x.
func keyValue(p []byte, i, j int) (from, to int) {
	if bytes.Contains(p[max(0, i-maxFollow):i], []byte("md5 ")) {
		return plainValue(p, i, j)
	}
	return quotedValue(p, i, j)
}

// cryptValue: $9$…, $8$aes256-gcm$…, $6$…, $1$…, $2b$…, $sha1$….
func cryptValue(p []byte, i, j int) (from, to int) {
	n := bytes.IndexByte(p[j:min(len(p), j+maxFollow)], '$')
	if n < 1 || !cryptScheme(p[j:j+n]) {
		return 0, 0
	}
	if to = while(p, j+n+1, &hashPart); to == j+n+1 {
		return 0, 0
	}
	for byteAt(p, to) == ',' && isLetter(byteAt(p, to+1)) && byteAt(p, to+2) == '=' {
		to = while(p, to+1, &hashPart) // a parameter of argon2
	}
	return i, to
}

// cryptScheme tells whether a name between two '$' is one of a hash or cipher.
func cryptScheme(name []byte) bool {
	if name[0] >= '0' && name[0] <= '9' {
		return len(name) == 1 || len(name) == 2 && isLetter(name[1])
	}
	switch string(name) {
	case "apr1", "sha1", "sha256", "sha512", "md5", "y", "gy", "scrypt", "bcrypt", "argon2i", "argon2d", "argon2id", "bcrypt-sha256":
		return true
	}
	return false
}

// sshKeyValue: ssh-rsa AAAA… bob@example.
func sshKeyValue(p []byte, i, _ int) (from, to int) {
	if string(p[i:i+4]) != "AAAA" || i > 0 && wordPart(p[i-1]) {
		return 0, 0
	}
	if to = while(p, i, &keyPart); to-i < sshKeySize {
		return 0, 0
	}
	if k := blanks(p, to); k > to {
		if end := until(p, k, &textEnd); bytes.IndexByte(p[k:end], '@') > 0 {
			to = end
		}
	}
	return i, to
}

// secretValue: password=x, "secret" : "x", secret "x"; pre-shared-key ascii-text
// "x"; set … secret x. A word in prose is none.
func secretValue(p []byte, i, j int) (from, to int) {
	if c := byteAt(p, j); wordPart(c) || c == '-' {
		return 0, 0
	}
	if from, to = assigned(p, j, &plainEnd); from < to {
		return from, to
	}
	if from, to = quotedValue(p, i, j); from < to {
		return from, to
	}
	if from = blanks(p, j); from == j {
		return 0, 0
	}
	to = until(p, from, &textEnd)
	switch ends := blanks(p, to) == len(p); {
	case byteAt(p, to) == ';', ends && inSetLine(p):
		return from, to
	case (inSetLine(p) || bytes.HasSuffix(bytes.TrimSpace(p), []byte(";"))) && !aboutSecret.Match(p[from:to]):
		return from, to
	}
	return 0, 0
}

// aboutSecret is what follows the word for a secret, and is none.
var aboutSecret = regexp.MustCompile(`^(?:ascii-text|hexadecimal(?:-text)?|(?:min|max)imum-.*|format|change-type|lifetime)$`)

// markedValue: what stands before the mark ## SECRET-DATA of a configuration.
func markedValue(p []byte, i, _ int) (from, to int) {
	to = i
	for to > 0 && (spaceClass[p[to-1]] || p[to-1] == ';') {
		to--
	}
	if to > 0 && p[to-1] == '"' {
		to--
		return bytes.LastIndexByte(p[:to], '"') + 1, to
	}
	from = to
	for from > 0 && !spaceClass[p[from-1]] && p[from-1] != '"' {
		from--
	}
	return from, to
}
