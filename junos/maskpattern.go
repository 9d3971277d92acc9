package junos

import (
	"bytes"
	"strings"
)

// sshKeySize is the shortest public key of SSH that is looked for.
const sshKeySize = 20

// maskWord is a word that values of a class stand by. It is looked for where no
// letter stands before it, in either case.
type maskWord struct {
	word  string
	class MaskClass
	// find returns the value that belongs to the word p[i:j]; none: from is to.
	find func(p []byte, i, j int) (from, to int)
}

// maskWords is the words by their first byte, in lower case.
var maskWords = func() (by [256][]maskWord) {
	for _, w := range []maskWord{
		{"user", MaskUserNames, userValue},
		{"by ", MaskUserNames, byValue},
		{"by: ", MaskUserNames, byValue},
		{"for ", MaskUserNames, forValue},
		{"home/", MaskUserNames, homeValue},
		{"sshd", MaskUserNames, sshdValue},
		{"mgd: (mgd) (", MaskUserNames, wordBehind},
		{"login", MaskUserNames, loginValue},
		{"logname", MaskUserNames, loginValue},
		{"terminal ", MaskUserNames, terminalValue},
		{"community", MaskCommunities, communityValue},
		{"$", MaskSecrets, cryptValue},
		{"aaaa", MaskSecrets, sshKeyValue},
		{"password", MaskSecrets, secretValue},
		{"passwd", MaskSecrets, secretValue},
		{"passphrase", MaskSecrets, secretValue},
		{"secret", MaskSecrets, secretValue},
		{"psk", MaskSecrets, secretValue},
		{"pre-shared-key", MaskSecrets, secretValue},
		{"shared-key", MaskSecrets, secretValue},
		{"authentication-key", MaskSecrets, secretValue},
		{"auth-key", MaskSecrets, secretValue},
		{"privacy-key", MaskSecrets, secretValue},
		{"private-key", MaskSecrets, secretValue},
		{"encryption-key", MaskSecrets, secretValue},
		{"api-key", MaskSecrets, secretValue},
		{"key", MaskSecrets, quotedValue}, // and of PRIVATE KEY
		{"ascii-text", MaskSecrets, plainValue},
		{"hexadecimal-text", MaskSecrets, plainValue},
		{"hexadecimal", MaskSecrets, plainValue},
		{"## secret-data", MaskSecrets, markedValue},
	} {
		by[w.word[0]] = append(by[w.word[0]], w)
	}
	return by
}()

// wordStart marks the bytes at which a word may begin, in either case.
var wordStart = func() (class [256]bool) {
	for c := range maskWords {
		if len(maskWords[c]) > 0 {
			class[c] = true
			if c >= 'a' && c <= 'z' {
				class[c-'a'+'A'] = true
			}
		}
	}
	return class
}()

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// byWords finds the values that stand by words, in p from there on.
func (f *finder) byWords(p []byte, from int) {
	for i := from; i < len(p); i++ {
		c := p[i]
		if !wordStart[c] {
			continue
		}
		if isLetter(c) {
			if i > 0 && isLetter(p[i-1]) {
				continue
			}
			c |= 0x20
		}
		for k := range maskWords[c] {
			w := &maskWords[c][k]
			if !hasFold(p[i:], w.word) || !f.rules.classes[w.class] {
				continue
			}
			if a, z := w.find(p, i, i+len(w.word)); a < z && a >= from {
				f.spans = append(f.spans, span{begin: min(a, i), from: a, to: z, class: w.class})
			}
		}
	}
}

// hasWord tells whether there is any word of a class in a text, and so anything for
// byWords, structure or privateKeys to find.
func hasWord(p []byte) bool {
	for i, c := range p {
		if !wordStart[c] {
			continue
		}
		if isLetter(c) {
			if i > 0 && isLetter(p[i-1]) {
				continue
			}
			c |= 0x20
		}
		for k := range maskWords[c] {
			if hasFold(p[i:], maskWords[c][k].word) {
				return true
			}
		}
	}
	return false
}

// hasFold tells whether p begins with the word, of which letters are lower case.
func hasFold(p []byte, word string) bool {
	if len(p) < len(word) {
		return false
	}
	for i := range len(word) {
		if c := p[i]; c != word[i] && (!isLetter(c) || c|0x20 != word[i]) {
			return false
		}
	}
	return true
}

// nameEnd marks what ends a log-in name, plainEnd what ends another value.
var (
	nameEnd  = bytesOf(" \t\r\n\"'<>,;:()[]{}=")
	plainEnd = bytesOf(" \t\r\n\"'<>,;()[]{}")
	textEnd  = bytesOf(" \t\r\n\"'<>;{}")
	hashPart = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./$+=_-")
	keyPart  = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=")
)

func bytesOf(s string) (class [256]bool) {
	for _, c := range []byte(s) {
		class[c] = true
	}
	return class
}

// until returns where from i on the first byte of the class stands.
func until(p []byte, i int, class *[256]bool) int {
	for i < len(p) && !class[p[i]] {
		i++
	}
	return i
}

// while returns where from i on the first byte stands that is none of the class.
func while(p []byte, i int, class *[256]bool) int {
	for i < len(p) && class[p[i]] {
		i++
	}
	return i
}

func blanks(p []byte, i int) int { return while(p, i, &spaceClass) }

func byteAt(p []byte, i int) byte {
	if i < 0 || i >= len(p) {
		return 0
	}
	return p[i]
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }

// assigned returns the value behind '=' or ':' at p[i], in quotes or without, or in
// the JSON of Junos, [ { "data" : "value" } ].
func assigned(p []byte, i int, end *[256]bool) (from, to int) {
	if isQuote(byteAt(p, i)) {
		i++
	}
	i = blanks(p, i)
	if c := byteAt(p, i); c != '=' && c != ':' {
		return 0, 0
	}
	i = blanks(p, i+1)
	if j := blanks(p, i+1); byteAt(p, i) == '[' && byteAt(p, j) == '{' {
		if j = blanks(p, j+1); !bytes.HasPrefix(p[j:], []byte(`"data"`)) {
			return 0, 0
		}
		return assigned(p, j+5, end)
	}
	if isQuote(byteAt(p, i)) {
		return inQuotes(p, i)
	}
	return i, until(p, i, end)
}

// inQuotes returns what is between the quote at p[i] and the next, or the end.
func inQuotes(p []byte, i int) (from, to int) {
	if n := bytes.IndexByte(p[i+1:], p[i]); n >= 0 {
		return i + 1, i + 1 + n
	}
	return i + 1, len(p)
}

// quotedValue is a value in quotes behind white space.
func quotedValue(p []byte, _, j int) (from, to int) {
	i := blanks(p, j)
	if i == j || !isQuote(byteAt(p, i)) {
		return 0, 0
	}
	return inQuotes(p, i)
}

// plainValue is the word behind white space, or what is in quotes there.
func plainValue(p []byte, i, j int) (from, to int) {
	if from, to = quotedValue(p, i, j); from < to {
		return from, to
	}
	if from = blanks(p, j); from == j {
		return 0, 0
	}
	return from, until(p, from, &textEnd)
}

// wordBehind is the word right behind.
func wordBehind(p []byte, _, j int) (from, to int) { return j, until(p, j, &nameEnd) }

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
		entered entering authenticated performed requested committed tty terminal connected disconnected issued`)
	doneBy = setOf(`configured committed commit change changed locked edited issued requested initiated performed rebooted
		opened created modified executed started stopped terminated approved authored scheduled saved loaded done out in
		halted deleted added back rollback ago)`)
)

// maxFollow is how much of what follows or precedes a name is looked at.
const maxFollow = 32

// userValue: user=bob, User 'bob', { "user" : "bob" }, user bob, class operator,
// login user bob.
func userValue(p []byte, i, j int) (from, to int) {
	if byteAt(p, j) == 's' {
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
		return from, to
	}
	if from, to = quotedValue(p, i, j); from < to {
		return from, to
	}
	if byteAt(p, j) != ' ' {
		return 0, 0
	}
	from = j + 1
	to = until(p, from, &nameEnd)
	if saysUser(p[to:]) || bytes.HasSuffix(p[:i], []byte("login ")) {
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
	word := p[bytes.LastIndexByte(p, ' ')+1:]
	if doneBy[string(bytes.ToLower(word))] {
		return true
	}
	if len(word) < len(p) && len(word) <= 5 && len(bytes.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) == 0 {
		p = p[:len(p)-len(word)-1]
		word = p[bytes.LastIndexByte(p, ' ')+1:]
	}
	n := len(word)
	return n >= 4 && word[n-3] == ':' && len(bytes.Trim(word, "0123456789:")) == 0
}

// byValue: configured by bob, 2026-09-17 11:17:32 CEST by bob via cli.
func byValue(p []byte, i, j int) (from, to int) {
	from = j
	if hasFold(p[from:], "user ") {
		from += len("user ")
	}
	if to = until(p, from, &nameEnd); hasFold(p[to:], " via ") || saysDone(p[:i]) {
		return from, to
	}
	return 0, 0
}

// forValue: Accepted password for bob from 192.0.2.1.
func forValue(p []byte, _, j int) (from, to int) {
	from = j
	for _, word := range []string{"invalid ", "illegal ", "user "} {
		if hasFold(p[from:], word) {
			from += len(word)
		}
	}
	if to = until(p, from, &nameEnd); hasFold(p[to:], " from ") {
		return from, to
	}
	return 0, 0
}

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

// loginValue: login=bob, login-name = "bob".
func loginValue(p []byte, _, j int) (from, to int) {
	if hasFold(p[j:], "-name") {
		j += len("-name")
	}
	if i := blanks(p, j); byteAt(p, i) != '=' {
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
