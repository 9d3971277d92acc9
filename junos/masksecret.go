package junos

import (
	"bytes"
	"regexp"
)

var (
	privateKeyStart = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----`)
	privateKeyEnd   = regexp.MustCompile(`-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----`)
)

// communityUse is what follows "community public" in a configuration.
var communityUse = map[string]bool{" {": true, " authorization": true, " clients": true, " client-list-name": true, " view": true, " routing-instance": true}

// communityValue: snmp community public, community 'public', community=public,
// trap-community public. What looks like a BGP community is none.
func communityValue(p []byte, i, j int) (from, to int) {
	for _, more := range []string{"-name", " name", "-string", " string"} {
		if hasFold(p[j:], more) {
			j += len(more)
			break
		}
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
	if hasFold(before, "snmp ") || hasFold(before, "snmp-") || hasFold(before, "trap ") || hasFold(before, "trap-") || communityUse[string(p[to:until(p, min(to+1, len(p)), &spaceClass)])] {
		return from, to
	}
	return 0, 0
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
	if byteAt(p, to) == ';' || blanks(p, to) == len(p) && bytes.HasPrefix(bytes.TrimLeft(p, " \t"), []byte("set ")) {
		return from, to
	}
	return 0, 0
}

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
