package junos

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
)

// finding is what is masked in a line, and what takes its place.
type finding struct {
	from, to int
	with     []byte
}

// span is a candidate for one.
type span struct {
	begin    int // of the match, at most from
	from, to int
	class    MaskClass
	block    bool // a private key, which goes on to its end in later lines
	with     []byte
}

// finder finds what is to be masked by what it looks like, in one line after the
// other of a text. What it knows of a text besides the line is the value that did
// not end yet, and which column of a table, or which member of JSON, holds names.
type finder struct {
	rules *maskRules
	extra []*maskTarget // patterns for this text only
	count func(MaskClass)
	namer namer
	found []finding
	spans []span

	going  bool      // a value did not end with the last window, or
	block  bool      // a private key with the last line
	stop   byte      // the quote that ends the value; 0: what ends a word
	column int       // of the table that holds names; -1: none
	member MaskClass // of what the next "data" of JSON holds; empty: nothing to mask
}

// open tells whether a value did not end yet, of which the namer knows.
func (f *finder) open() bool { return f.going || f.block }

// busy tells whether the text that came has a meaning for what comes.
func (f *finder) busy() bool { return f.open() || f.column >= 0 || f.member != "" }

// reset ends a text.
func (f *finder) reset() { f.going, f.block, f.stop, f.column, f.member = false, false, 0, -1, "" }

// line looks at a line, or at a window of one when more of it is to come. It sets
// found and returns for how much of the line that is all.
func (f *finder) line(p []byte, whole bool) int {
	f.found, f.spans = f.found[:0], f.spans[:0]
	from := 0
	if f.open() {
		if from = f.resume(p, whole); f.open() {
			return len(p)
		}
	}
	f.look(p, from)
	done := len(p)
	if !whole {
		done = max(from, len(p)-maskOverlap)
	}
	if len(f.spans) > 0 {
		done = f.settle(p, from, done, whole)
	}
	return done
}

// resume takes what belongs to the value that did not end, and returns its end.
func (f *finder) resume(p []byte, whole bool) int {
	n, ended := len(p), false
	if f.block {
		n, ended = blockEnd(p)
	} else {
		if k := slices.IndexFunc(p, f.ends); k >= 0 {
			n, ended = k, true
		}
		ended = ended || whole
	}
	f.namer.write(p[:n])
	fd := finding{to: n}
	if ended {
		f.going, f.block = false, false
		fd.with = f.namer.name(nil)
	}
	f.found = append(f.found, fd)
	return n
}

// ends tells whether a byte ends the value that did not end.
func (f *finder) ends(c byte) bool {
	if f.stop != 0 {
		return c == f.stop || c == '\n'
	}
	return spaceClass[c] || c == '"' || c == '\'' || c == ';' || c == '<' || c == '>'
}

// settle makes findings of the spans that begin before done, and returns up to
// where nothing else can be found.
func (f *finder) settle(p []byte, from, done int, whole bool) int {
	slices.SortStableFunc(f.spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
	pos, limit := from, done
	for _, s := range f.spans {
		s.from = max(s.from, pos)
		if s.from >= s.to || !whole && s.begin >= limit {
			continue
		}
		f.count(s.class)
		fd := finding{from: s.from, to: s.to, with: s.with}
		switch open := !whole && s.to == len(p); {
		case s.with != nil:
		case s.block || open:
			f.namer.begin(s.class)
			f.namer.write(p[s.from:s.to])
			f.block, f.going, f.stop = s.block, open && !s.block, 0
			if s.from > 0 && (p[s.from-1] == '"' || p[s.from-1] == '\'') {
				f.stop = p[s.from-1]
			}
		default:
			fd.with = f.namer.of(nil, s.class, p[s.from:s.to])
		}
		f.found = append(f.found, fd)
		pos = s.to
	}
	return max(done, pos)
}

// add takes what a pattern matches in p[from:], or what its first group does.
func (f *finder) add(re *regexp.Regexp, class MaskClass, p []byte, from int) {
	for _, m := range re.FindAllSubmatchIndex(p[from:], -1) {
		s := span{begin: from + m[0], from: from + m[0], to: from + m[1], class: class}
		if len(m) > 2 {
			if m[2] < 0 {
				continue
			}
			s.from, s.to = from+m[2], from+m[3]
		}
		f.spans = append(f.spans, s)
	}
}

// look collects the spans in p[from:].
func (f *finder) look(p []byte, from int) {
	for _, t := range f.rules.anywhere {
		f.add(t.pattern, t.class, p, from)
	}
	for _, t := range f.extra {
		f.add(t.pattern, t.class, p, from)
	}
	if f.rules.addresses {
		f.addresses(p, from)
	}
	f.structure(p, from)
	f.byWords(p, from)
	if f.rules.secrets && bytes.Contains(p[from:], []byte("PRIVATE KEY")) {
		f.privateKeys(p, from)
	}
}

// privateKeys finds private keys in PEM, of which the end may come in a later
// line.
func (f *finder) privateKeys(p []byte, from int) {
	for {
		m := privateKeyStart.FindIndex(p[from:])
		if m == nil {
			return
		}
		n, ended := blockEnd(p[from+m[1]:])
		s := span{begin: from + m[0], from: from + m[0], to: from + m[1] + n, class: MaskSecrets, block: !ended}
		f.spans = append(f.spans, s)
		from = s.to
	}
}

// blockEnd returns where a private key ends, behind its last line.
func blockEnd(p []byte) (n int, ended bool) {
	m := privateKeyEnd.FindIndex(p)
	if m == nil {
		return len(p), false
	}
	return m[1], true
}

// structure finds names by their place: in the column of a table that is headed
// USER, and in JSON.
func (f *finder) structure(p []byte, from int) {
	if f.column >= 0 {
		f.inColumn(p, from)
	}
	if f.member != "" {
		f.add(jsonData, f.member, p, from)
		if bytes.ContainsAny(p, "]}") {
			f.member = ""
		}
	}
	if from > 0 {
		return
	}
	if f.rules.users && bytes.Contains(p, []byte("USER")) {
		if m := tableHead.FindSubmatchIndex(p); m != nil {
			f.column = 0
			if m[2] >= 0 {
				f.column = 1
			}
		}
	}
	if p = bytes.TrimRight(p, " \t\r\n"); len(p) > 0 && bytes.IndexByte([]byte(":[{"), p[len(p)-1]) >= 0 {
		f.jsonMember(p)
	}
}

// jsonMember tells what the "data" in the next lines of JSON is.
func (f *finder) jsonMember(p []byte) {
	if m := jsonName.FindSubmatch(p); m != nil {
		class := MaskUserNames
		if m[1] == nil {
			class = MaskSecrets
		}
		if f.rules.classes[class] {
			f.member = class
		}
	}
}

// inColumn finds the word in the column; a line without one ends the table.
func (f *finder) inColumn(p []byte, from int) {
	at, word := 0, 0
	for at < len(p) {
		for at < len(p) && spaceClass[p[at]] {
			at++
		}
		end := at
		for end < len(p) && !spaceClass[p[end]] {
			end++
		}
		if at < end && word == f.column {
			if at >= from {
				f.spans = append(f.spans, span{begin: at, from: at, to: end, class: MaskUserNames})
			}
			return
		}
		at = end
		word++
	}
	f.column = -1
}

var (
	// tableHead is the head of a table with names in its first column, or in the
	// second behind the numbers of processes.
	tableHead = regexp.MustCompile(`^\s*(PID\s+)?USER(?:NAME)?\s`)
	jsonName  = regexp.MustCompile(`"(?:(user|user-name|username|login-name|commit-user)|(?:[a-z-]+-)?(?:password|secret|passphrase|authentication-key|pre-shared-key))"\s*:\s*(?:\[\s*(?:\{\s*)?)?$`)
	jsonData  = regexp.MustCompile(`"data"\s*:\s*"([^"]+)`)
)
