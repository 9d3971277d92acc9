package junos

import "regexp"

// word is a set of the words that patterns look for, so that an expression runs
// only where it may match.
type word uint32

const (
	wordDollar word = 1 << iota
	wordBegin       // -----BEGIN
	wordSSHKey      // AAAA
	wordUser
	wordBy
	wordFor
	wordHome
	wordSSHD
	wordMGD
	wordLogin
	wordTerminal
	wordCommunity
	wordSecret // and the other names of one
	wordHash   // ##
)

// sshKeySize is the shortest public key of SSH that is looked for.
const sshKeySize = 20

// maskWords is the words by their first byte, in lower case. They begin where no
// letter stands before.
var maskWords = [256][]struct {
	word string
	bit  word
}{
	'-': {{"-----begin", wordBegin}},
	'#': {{"##", wordHash}},
	'a': {{"aaaa", wordSSHKey}, {"authentication-key", wordSecret}, {"auth-key", wordSecret}, {"ascii-text", wordSecret}, {"api-key", wordSecret}},
	'b': {{"by ", wordBy}},
	'c': {{"community", wordCommunity}},
	'e': {{"encryption-key", wordSecret}},
	'f': {{"for ", wordFor}},
	'h': {{"home/", wordHome}, {"hexadecimal", wordSecret}},
	'k': {{"key", wordSecret}},
	'l': {{"login", wordLogin}, {"logname", wordLogin}},
	'm': {{"mgd", wordMGD}},
	'p': {{"password", wordSecret}, {"passwd", wordSecret}, {"passphrase", wordSecret}, {"pre-shared-key", wordSecret},
		{"privacy-key", wordSecret}, {"private-key", wordSecret}, {"psk", wordSecret}},
	's': {{"secret", wordSecret}, {"shared-key", wordSecret}, {"sshd", wordSSHD}},
	't': {{"terminal", wordTerminal}},
	'u': {{"user", wordUser}},
}

// wordStart marks the bytes at which a word or '$' may begin, in either case.
var wordStart = func() (class [256]bool) {
	for c := range maskWords {
		if maskWords[c] != nil {
			class[c] = true
			if c >= 'a' && c <= 'z' {
				class[c-'a'+'A'] = true
			}
		}
	}
	class['$'] = true
	return class
}()

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// wordsIn returns the words that are in a text.
func wordsIn(p []byte) word {
	var all word
	for i, c := range p {
		if !wordStart[c] || i > 0 && isLetter(c) && isLetter(p[i-1]) {
			continue
		}
		if c == '$' {
			all |= wordDollar
			continue
		}
		if isLetter(c) {
			c |= 0x20
		}
		for _, w := range maskWords[c] {
			if hasFold(p[i:], w.word) {
				all |= w.bit
			}
		}
	}
	return all
}

// hasFold tells whether p begins with the word, of which letters are lower case.
func hasFold(p []byte, word string) bool {
	if len(p) < len(word) {
		return false
	}
	for i := range len(word) {
		if c := p[i]; c != word[i] && !(isLetter(c) && c|0x20 == word[i]) {
			return false
		}
	}
	return true
}

// maskPattern finds values of a class; its group is the value.
type maskPattern struct {
	class MaskClass
	words word // all of which stand in the text
	re    *regexp.Regexp
}

// name is a log-in name as it stands in text.
const nameText = `([^\s"'<>,;:()\[\]{}=]+)`

// secretName is what a secret is called.
const secretName = `\b(?:[a-z0-9]+[-_])*(?:password|passwd|passphrase|secret|psk|(?:pre-shared|shared|authentication|auth|privacy|private|api|encryption)-key)`

var maskPatterns = []maskPattern{
	// user bob, user=bob, User 'bob', user: "bob", { "user" : "bob" }
	{MaskUserNames, wordUser, regexp.MustCompile(`(?i)\busers?(?:-?name|id)?["']?\s*[=:]\s*(?:\[\s*\{\s*"data"\s*:\s*)?["']?` + nameText)},
	{MaskUserNames, wordUser, regexp.MustCompile(`(?i)\buser(?:-?name)?\s+['"]([^'"]+)`)},
	{MaskUserNames, wordUser, regexp.MustCompile(`\b[Uu]ser(?:-?name)? ` + nameText +
		`(?:, class| \{| (?:logged|login|logout|log|from|has|at|on|via|class|uid|authentication|full-name|exit|exited|enter|entered|entering|authenticated|performed|requested|committed|tty|terminal|connected|disconnected|issued)\b)`)},
	{MaskUserNames, wordUser | wordLogin, regexp.MustCompile(`\blogin user ` + nameText)},
	// configured by bob, 2026-09-17 11:17:32 CEST by bob via cli
	{MaskUserNames, wordBy, regexp.MustCompile(`\bby (?:user )?` + nameText + ` via\b`)},
	{MaskUserNames, wordBy, regexp.MustCompile(`(?i)\b(?:configured|committed|commit|changed|change|locked|edited|issued|requested|initiated|performed|rebooted|opened|created|modified|executed|started|stopped|terminated|approved|authored|scheduled|saved|loaded|done|logged out|logged in|halted|deleted|added|rolled back|rollback) by:? (?:user )?` + nameText)},
	{MaskUserNames, wordBy, regexp.MustCompile(`(?:\bago\)|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: [A-Z]{1,5})?) by ` + nameText)},
	// sshd: Accepted password for bob from 192.0.2.1
	{MaskUserNames, wordFor, regexp.MustCompile(`\bfor (?:invalid user |illegal user |user )?` + nameText + ` from\b`)},
	{MaskUserNames, wordHome, regexp.MustCompile(`/home/([^\s/"'<>:;,()\[\]]+)`)},
	{MaskUserNames, wordSSHD, regexp.MustCompile(`\bsshd(?:\[[0-9]+\])?: ([^\s@:\[]+)(?:@| \[)`)},
	{MaskUserNames, wordMGD, regexp.MustCompile(`\bmgd: \(mgd\) \(([^)]+)`)},
	{MaskUserNames, wordLogin, regexp.MustCompile(`(?i)\blog(?:in|name|in-?name)["']?\s*=\s*["']?` + nameText)},
	// bob terminal pts/0 (pid 2345) on since 2026-09-17 11:17:32 CEST
	{MaskUserNames, wordTerminal, regexp.MustCompile(`(?:^|\s)` + nameText + `\s+terminal\s+\S+\s+\(pid`)},

	{MaskCommunities, wordCommunity, regexp.MustCompile(`(?i)\bcommunity(?:[- ](?:name|string))?["']?\s*[=:]\s*["']?([^\s"',;:<>)\]]+)(?:[^:0-9]|$)`)},
	{MaskCommunities, wordCommunity, regexp.MustCompile(`(?i)\b(?:snmp|trap)[- ]community\s+["']?([^\s"',;{<>]+)`)},
	{MaskCommunities, wordCommunity, regexp.MustCompile(`(?i)\bcommunity(?:[- ](?:name|string))?\s+['"]([^'"]+)`)},
	{MaskCommunities, wordCommunity, regexp.MustCompile(`\bcommunity ([^\s"';{]+) (?:\{|authorization|clients|client-list-name|view|routing-instance)`)},

	// $9$…, $8$aes256-gcm$…, $6$…, $1$…, $2b$…, $sha1$…
	{MaskSecrets, wordDollar, regexp.MustCompile(`\$(?:[0-9][a-z]?|apr1|sha1|sha256|sha512|md5|gy|y|argon2[a-z]*|scrypt|bcrypt[a-z0-9-]*)\$[A-Za-z0-9./$+=_-]+`)},
	{MaskSecrets, wordSSHKey, regexp.MustCompile(`\bAAAA[A-Za-z0-9+/]{16,}={0,3}(?:[ \t]+[^\s"'<>;,]+@[^\s"'<>;,]+)?`)},
	{MaskSecrets, wordSecret, regexp.MustCompile(`(?i)` + secretName + `["']?\s*[=:]\s*(?:\[\s*\{\s*"data"\s*:\s*)?"([^"]+)`)},
	{MaskSecrets, wordSecret, regexp.MustCompile(`(?i)` + secretName + `["']?\s*[=:]\s*'?([^\s"',;<>\[\]{}]+)`)},
	{MaskSecrets, wordSecret, regexp.MustCompile(`(?i)(?:` + secretName + `|\bkey)\s+(?:ascii-text\s+|hexadecimal\s+)?"([^"]+)`)},
	{MaskSecrets, wordSecret, regexp.MustCompile(`(?i)` + secretName + `\s+(?:ascii-text\s+|hexadecimal\s+)?([^\s"';{}]+);`)},
	{MaskSecrets, wordSecret, regexp.MustCompile(`(?i)\b(?:ascii-text|hexadecimal(?:-text)?)\s+"?([^\s"';{}]+)`)},
	{MaskSecrets, wordSecret, regexp.MustCompile(`(?i)^\s*set\s.*` + secretName + `\s+([^\s"';{}]+)\s*$`)},
	{MaskSecrets, wordHash, regexp.MustCompile(`"([^"]+)"?\s*;?\s*## SECRET-DATA`)},
	{MaskSecrets, wordHash, regexp.MustCompile(`\s([^\s";]+);?\s*## SECRET-DATA`)},
}

var (
	privateKeyStart = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`)
	privateKeyEnd   = regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`)
	// tableHead is the head of a table with names in its first column, or in the
	// second behind the numbers of processes.
	tableHead = regexp.MustCompile(`^\s*(PID\s+)?USER(?:NAME)?\s`)
	jsonUser  = regexp.MustCompile(`"(?:user|user-name|username|login-name|commit-user)"\s*:\s*(?:\[\s*(?:\{\s*)?)?$`)
	jsonData  = regexp.MustCompile(`"data"\s*:\s*"([^"]+)`)
)
