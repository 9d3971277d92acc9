package junos

import "bytes"

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
		{"(pid ", MaskUserNames, pidValue},
		{"su: ", MaskUserNames, suValue},
		{"bad su ", MaskUserNames, suValue},
		{"@", MaskUserNames, promptValue},
		{"://", MaskUserNames, urlUser},
		{"://", MaskSecrets, urlPassword},
		{"-r", MaskUserNames, ownerValue},
		{"drw", MaskUserNames, ownerValue},
		{"community", MaskCommunities, communityValue},
		{"trap-group", MaskCommunities, trapGroupValue},
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
		{"cak", MaskSecrets, secretValue},
		{"key", MaskSecrets, keyValue}, // and of PRIVATE KEY
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
	// What replaced a byte that was no UTF-8 does not end a hash.
	hashPart = bytesOf("\uFFFDabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./$+=_-")
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
