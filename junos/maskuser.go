package junos

import (
	"bytes"
	"regexp"
	"strings"
)

// setOf is a set of words, which are apart by white space.
func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// userVerbs are what follows "user bob" where it is no prose, and doneBy what
// stands before "by bob".
var (
	userVerbs = setOf(`logged login logout log from has at on via class uid authentication full-name exit exited enter
		entered entering authenticated performed requested committed tty terminal connected disconnected issued does lacks cannot`)
	doneBy = setOf(`configured committed commit change changed locked edited issued requested initiated performed rebooted
		opened created modified executed started stopped terminated approved authored scheduled saved loaded done out in
		halted deleted added back rollback ago)`)
)

// sessionVerbs are what stands before "for user bob".
var sessionVerbs = setOf("opened closed denied failed rejected refused locked accepted")

var (
	prose = setOf(`a an the default peer neighbor remote local interface system watchdog hypervisor kernel hardware software
		power reference configuration timer timeout data traffic`)
	loginWords = regexp.MustCompile(`(?i)accepted|failed|failure|login|password|publickey|keyboard|auth`)
)

// maxFollow is how much of what follows or precedes a name is looked at.
const maxFollow = 32

// userValue: user=bob, User 'bob', { "user" : "bob" }, user bob, class operator,
// login user bob.
func userValue(p []byte, i, j int) (from, to int) {
	many := byteAt(p, j)|0x20 == 's'
	if many {
		j++
	}
	for _, more := range []string{"-name", "name", "id"} {
		if hasFold(p[j:], more) {
			j += len(more)
			break
		}
	}
	if c := byteAt(p, j); wordPart(c) || c == '-' {
		return 0, 0
	}
	if from, to = assigned(p, j, &nameEnd); from < to {
		if hasFold(p[to:], " percent") || p[from] == '%' || byteAt(p, to-1) == '%' {
			return 0, 0 // of a processor
		}
		return from, to
	}
	if from, to = quotedValue(p, i, j); from < to {
		return from, to
	}
	if many || byteAt(p, j) != ' ' {
		return 0, 0
	}
	from = j + 1
	to = until(p, from, &nameEnd)
	if saysUser(p[to:]) && !isProse(p[from:to]) || bytes.HasSuffix(p[:i], []byte("login ")) {
		return from, to
	}
	return 0, 0
}

// saysUser tells whether what follows a name shows that it is one.
func saysUser(p []byte) bool {
	if hasFold(p, ", class") || hasFold(p, " {") {
		return true
	}
	return byteAt(p, 0) == ' ' && userVerbs[string(p[1:until(p, 1, &nameEnd)])]
}

// saysDone tells whether what precedes "by" shows that a name follows: a verb, or
// the time at which it was done.
func saysDone(p []byte) bool {
	p = bytes.TrimRight(p[max(0, len(p)-maxFollow):], " ")
	word := lastWord(p)
	if doneBy[string(bytes.ToLower(word))] {
		return true
	}
	if len(word) < len(p) && len(word) <= 5 && len(bytes.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) == 0 {
		word = lastWord(p[:len(p)-len(word)])
	}
	n := len(word)
	return n >= 4 && word[n-3] == ':' && len(bytes.Trim(word, "0123456789:")) == 0
}

// lastWord is the last word of what precedes.
func lastWord(p []byte) []byte {
	p = bytes.TrimRight(p[max(0, len(p)-maxFollow):], " ")
	return p[bytes.LastIndexByte(p, ' ')+1:]
}

// byValue: configured by bob, 2026-09-17 11:17:32 CEST by bob via cli.
func byValue(p []byte, i, j int) (from, to int) {
	from = j
	if hasFold(p[from:], "user ") {
		from += len("user ")
	}
	if to = until(p, from, &nameEnd); !isProse(p[from:to]) && (hasFold(p[to:], " via ") || saysDone(p[:i])) {
		return from, to
	}
	return 0, 0
}

// forValue: Accepted password for bob from 192.0.2.1, session closed for user bob.
func forValue(p []byte, i, j int) (from, to int) {
	from = j
	if hasFold(p[j:], "user ") && sessionVerbs[string(lastWord(p[:i]))] {
		from = j + len("user ")
		return from, until(p, from, &nameEnd)
	}
	for _, word := range []string{"invalid ", "illegal ", "user "} {
		if hasFold(p[from:], word) {
			from += len(word)
		}
	}
	if to = until(p, from, &nameEnd); hasFold(p[to:], " from ") && loginWords.Match(p[max(0, i-maxFollow):i]) {
		return from, to
	}
	return 0, 0
}

// isProse tells whether a word is of those that stand where a name may, and are
// none: changed by default, rebooted by watchdog.
func isProse(word []byte) bool { return prose[string(bytes.ToLower(word))] }

// homeEnd marks what ends the name of a folder.
var homeEnd = bytesOf(" \t\r\n/\"'<>:;,()[]")

// homeValue: /var/home/bob/file.
func homeValue(p []byte, i, j int) (from, to int) {
	if byteAt(p, i-1) != '/' {
		return 0, 0
	}
	return j, until(p, j, &homeEnd)
}

// sshdValue: sshd: bob@pts/0, sshd[123]: bob [priv].
func sshdValue(p []byte, _, j int) (from, to int) {
	if byteAt(p, j) == '[' {
		j = until(p, j, &homeEnd)
		if n := bytes.IndexByte(p[j:], ']'); n >= 0 {
			j += n + 1
		}
	}
	if !bytes.HasPrefix(p[j:], []byte(": ")) {
		return 0, 0
	}
	from = j + 2
	to = until(p, from, &nameEnd)
	if n := bytes.IndexByte(p[from:to], '@'); n >= 0 {
		return from, from + n
	}
	if bytes.HasPrefix(p[to:], []byte(" [")) {
		return from, to
	}
	return 0, 0
}

// loginValue: login=bob, login-name = "bob", login: 'bob'.
func loginValue(p []byte, _, j int) (from, to int) {
	if hasFold(p[j:], "-name") {
		j += len("-name")
	}
	i := blanks(p, j)
	if c := byteAt(p, i); c != '=' && (c != ':' || !isQuote(byteAt(p, blanks(p, i+1)))) {
		return 0, 0
	}
	return assigned(p, j, &nameEnd)
}

// terminalValue: bob terminal pts/0 (pid 2345) on since 2026-09-17.
func terminalValue(p []byte, i, j int) (from, to int) {
	k := blanks(p, until(p, blanks(p, j), &spaceClass))
	if !bytes.HasPrefix(p[k:], []byte("(pid")) {
		return 0, 0
	}
	to = i
	for to > 0 && spaceClass[p[to-1]] {
		to--
	}
	from = to
	for from > 0 && !spaceClass[p[from-1]] {
		from--
	}
	return from, to
}
