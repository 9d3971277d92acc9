package junos

import (
	"crypto/sha256"
	"hash"
	"unicode/utf8"
)

// outflow puts together what a scan hands on, and hashes it. While that is what
// came, one hash serves for both.
type outflow struct {
	sum     hash.Hash // of what was handed on
	size    int64
	raw     hash.Hash // of what came; nil: the same bytes, but for lag
	rawSize int64
	lag     []byte // came and was not handed on yet, while raw is nil

	tail     []byte // of an unfinished UTF-8 sequence, at most 3 bytes
	held     []byte // came and must be scanned again with more behind it
	repaired bool   // invalid UTF-8 came

	came   []byte // by this write
	src    []byte // what of it, with what was held, is being scanned
	joined []byte // backs src where it is not came
	buf    []byte // to hand on before src[taken:]
	taken  int
}

func newOutflow() outflow { return outflow{sum: sha256.New()} }

// take begins a write: it returns what is to be scanned, valid UTF-8 without an
// unfinished sequence at its end.
func (o *outflow) take(p []byte) []byte {
	o.begin(p, o.buf[:0])
	if len(o.held) == 0 && len(o.tail) == 0 {
		if n := wholeRunes(p); utf8.Valid(p[:n]) {
			o.tail = append(o.tail, p[n:]...)
			o.src = p[:n]
			return o.src
		}
	}
	o.joined = append(append(append(o.joined[:0], o.held...), o.tail...), p...)
	o.src = o.sound(o.joined, len(o.held), wholeRunes(o.joined))
	return o.src
}

// takeLast begins the last write, in memory of its own.
func (o *outflow) takeLast() []byte {
	o.begin(nil, nil)
	b := append(append([]byte(nil), o.held...), o.tail...)
	o.src = o.sound(b, len(o.held), len(b))
	return o.src
}

func (o *outflow) begin(p, buf []byte) {
	o.came, o.buf, o.taken = p, buf, 0
	o.rawSize += int64(len(p))
	if o.raw != nil {
		o.raw.Write(p)
	}
}

// sound repairs b[from:to] where it must, and keeps the rest for later.
func (o *outflow) sound(b []byte, from, to int) []byte {
	o.tail = append(o.tail[:0], b[to:]...)
	if utf8.Valid(b[from:to]) {
		return b[:to]
	}
	o.repaired = true
	o.diverge()
	return repairUTF8(b[:from:from], b[from:to])
}

// wholeRunes is the length of p without an unfinished sequence at its end.
func wholeRunes(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				return len(p) - i
			}
			break
		}
	}
	return len(p)
}

// repairUTF8 appends p to b with U+FFFD for each byte that is part of no
// character, so that the outcome does not depend on how the bytes came.
func repairUTF8(b, p []byte) []byte {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 {
			b = utf8.AppendRune(b, utf8.RuneError)
		} else {
			b = append(b, p[:n]...)
		}
		p = p[n:]
	}
	return b
}

// diverge gives what came a hash of its own, before the first change.
func (o *outflow) diverge() {
	if o.raw != nil {
		return
	}
	o.raw = cloneHash(o.sum)
	o.raw.Write(o.lag)
	o.raw.Write(o.came)
	o.lag = nil
}

// cloneHash copies the state of a SHA-256, whose Clone does not fail.
func cloneHash(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic(err)
	}
	return c
}

// drop takes src[from:to] out of what is handed on.
func (o *outflow) drop(from, to int) {
	if from > o.taken {
		if cap(o.buf) == 0 {
			o.buf = make([]byte, 0, len(o.src)+len(o.src)/16)
		}
		o.buf = append(o.buf, o.src[o.taken:from]...)
	}
	o.taken = to
}

// insert hands on b before src[at:].
func (o *outflow) insert(at int, b []byte) {
	o.drop(at, at)
	o.buf = append(o.buf, b...)
}

// at returns how much this write hands on up to src[i].
func (o *outflow) at(i int) int { return len(o.buf) + i - o.taken }

// since returns what this write hands on from there up to src[i].
func (o *outflow) since(from, i int) []byte {
	if from >= len(o.buf) {
		return o.src[o.taken+from-len(o.buf) : i]
	}
	o.drop(i, i)
	return o.buf[from:]
}

// finish ends a write of which n bytes were scanned and returns what it hands on.
func (o *outflow) finish(n int) []byte {
	out := o.src[min(o.taken, n):n]
	if len(o.buf) > 0 {
		o.drop(n, n)
		out = o.buf
	}
	o.held = append(o.held[:0], o.src[n:]...)
	o.sum.Write(out)
	o.size += int64(len(out))
	if o.raw == nil {
		o.keepLag(int(o.rawSize - o.size))
	}
	return out
}

// keepLag keeps the last n bytes that came.
func (o *outflow) keepLag(n int) {
	if n <= len(o.came) {
		o.lag = append(o.lag[:0], o.came[len(o.came)-n:]...)
		return
	}
	n -= len(o.came)
	o.lag = append(append(o.lag[:0], o.lag[len(o.lag)-n:]...), o.came...)
}

// rawSum is the hash of all that came.
func (o *outflow) rawSum() []byte {
	switch {
	case o.raw != nil:
		return o.raw.Sum(nil)
	case len(o.lag) == 0:
		return o.sum.Sum(nil)
	}
	h := cloneHash(o.sum)
	h.Write(o.lag)
	return h.Sum(nil)
}
