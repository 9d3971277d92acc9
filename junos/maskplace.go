package junos

import "bytes"

// hostPart is what names of hosts are made of, urlEnd what ends a URL in text.
var (
	hostPart     = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
	urlEnd       = bytesOf(" \t\r\n\"'<>")
	authorityEnd = bytesOf(" \t\r\n\"'<>/?#")
)

// pidValue: bob (pid 2345) on since 2026-09-17, of a user without a terminal.
func pidValue(p []byte, i, j int) (from, to int) {
	k := j
	for byteAt(p, k) >= '0' && byteAt(p, k) <= '9' {
		k++
	}
	if !hasFold(p[k:], ") on since") {
		return 0, 0
	}
	from, to = wordBefore(p, i)
	switch {
	case string(p[from:to]) == "terminal":
		return wordBefore(p, from)
	case string(lastWord(p[:from])) == "terminal":
		return 0, 0 // terminalValue knows
	}
	return from, to
}

// wordBefore is the word before p[i], and before the white space there.
func wordBefore(p []byte, i int) (from, to int) {
	to = len(bytes.TrimRight(p[:i], " \t"))
	for from = to; from > 0 && !spaceClass[p[from-1]]; {
		from--
	}
	return from, to
}

// suValue: su: bob to root on /dev/pts/0.
func suValue(p []byte, _, j int) (from, to int) {
	if to = until(p, j, &nameEnd); hasFold(p[to:], " to ") {
		return j, to
	}
	return 0, 0
}

// promptValue: bob@router> of the CLI, bob@router# of its configuration mode,
// bob@router:RE:0% of the shell, and bob@host:/folder of a copy.
func promptValue(p []byte, i, j int) (from, to int) {
	for from = i; from > 0 && !nameEnd[p[from-1]] && p[from-1] != '/'; {
		from--
	}
	k := while(p, j, &hostPart)
	if k == j || from == i || p[from] >= '0' && p[from] <= '9' {
		return 0, 0 // as 10G@1310nm%
	}
	switch c := byteAt(p, k); {
	case isPrompt(c), c == ':' && bytes.IndexByte([]byte("/~"), byteAt(p, k+1)) >= 0:
		return from, i
	case c == ':':
		if end := until(p, k, &spaceClass); isPrompt(p[end-1]) {
			return from, i
		}
	}
	return 0, 0
}

func isPrompt(c byte) bool { return c == '>' || c == '#' || c == '%' || c == '$' }

// userinfo tells where in the URL that goes on at p[j] the user and the password
// before the host end; at is -1 when there are none. A slash in a password is
// none of the rules of URLs, but people write it.
func userinfo(p []byte, j int) (colon, at int) {
	authority := p[j:until(p, j, &authorityEnd)]
	if at = bytes.LastIndexByte(authority, '@'); at < 0 {
		n := bytes.IndexByte(authority, ':')
		if n < 0 || authority[0] == '[' || len(bytes.Trim(authority[n+1:], "0123456789")) == 0 && n+1 < len(authority) {
			return -1, -1
		}
		if at = bytes.LastIndexByte(p[j:until(p, j, &urlEnd)], '@'); at < 0 {
			return -1, -1
		}
	}
	if colon = bytes.IndexByte(p[j:j+at], ':'); colon < 0 {
		colon = at
	}
	return j + colon, j + at
}

// urlUser: scp://bob@host, ftp://bob:password@host.
func urlUser(p []byte, _, j int) (from, to int) {
	if colon, at := userinfo(p, j); at >= 0 {
		return j, colon
	}
	return 0, 0
}

// urlPassword: the password of the same.
func urlPassword(p []byte, _, j int) (from, to int) {
	if colon, at := userinfo(p, j); at >= 0 && colon < at {
		return colon + 1, at
	}
	return 0, 0
}

// modeSize is the length of the mode of a file, -rw-r--r--.
const modeSize = 10

var modePart = bytesOf("-rwxsStT")

// ownerValue: -rw-r----- 1 bob wheel 123 Sep 17 11:17 /var/tmp/cli.core, at the
// beginning of a line.
func ownerValue(p []byte, i, _ int) (from, to int) {
	if blanks(p, 0) != i || while(p, i+1, &modePart) != i+modeSize {
		return 0, 0
	}
	k := blanks(p, until(p, i, &spaceClass))
	if to = until(p, k, &spaceClass); len(bytes.Trim(p[k:to], "0123456789")) > 0 {
		return 0, 0
	}
	from = blanks(p, to)
	return from, until(p, from, &spaceClass)
}
