package junos

import "bytes"

// tagEnd is how far the end of the tag at the beginning of what is held was
// looked for, so that no byte of it is looked at twice.
type tagEnd struct {
	seen  int  // bytes behind the '<'
	quote byte // of the attribute in which they end; 0: none
}

// tagClass marks the bytes at which a tag needs a look.
var tagClass = [256]bool{'>': true, '<': true, '"': true, '\'': true}

// nameClass marks the bytes of names. A byte that may only follow the first one
// may be first, too: devices number elements.
var nameClass = func() (class [256]bool) {
	for c := range class {
		class[c] = c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
	}
	return class
}()

// namePart marks the bytes of a name behind the first.
var namePart = func() (class [256]bool) {
	for c := range class {
		class[c] = nameClass[c] || c >= '0' && c <= '9' || c == '-' || c == '.'
	}
	return class
}()

// leafName marks the bytes of names without a prefix.
var leafName = func() (class [256]bool) {
	class = namePart
	class[':'] = false
	return class
}()

// rpcErrorName is an error wherever it stands.
const rpcErrorName = "rpc-error"

// stepTag takes the tag at b[i].
func (s *scan) stepTag(b []byte, i int, last bool) int {
	if s.tag == (tagEnd{}) {
		if b[i+1] != '/' {
			s.endText(i)
			if n := s.leaves(b, i); n > i {
				return n
			}
		}
		if n := s.commonTag(b, i); n > i {
			return n
		}
	}
	j, quote := i+1+s.tag.seen, s.tag.quote
	for j < len(b) {
		if quote != 0 {
			n := bytes.IndexByte(b[j:], quote)
			if n < 0 {
				j = len(b)
				break
			}
			j, quote = j+n+1, 0
		}
		for j < len(b) && !tagClass[b[j]] {
			j++
		}
		if j == len(b) || b[j] == '<' || b[j] == '>' {
			break
		}
		quote = b[j]
		j++
	}
	return s.tagAt(b, i, j, quote, last)
}

// leaves takes elements at b[i] that hold nothing but a little text, and the white
// space between them, and returns where they end. They are most of a reply, so
// they are not opened and closed: it is enough to know that there is nothing in
// them for the digest or the mask.
func (s *scan) leaves(b []byte, i int) int {
	if s.lost || len(s.ends) == maxDepth || !s.reply.steady() || s.mask != nil && !s.mask.steady() {
		return i
	}
	for {
		n := s.leaf(b, i)
		if n == i {
			return i
		}
		i = n
		for n < len(b) && spaceClass[b[n]] {
			n++
		}
		if n+2 >= len(b) || b[n] != '<' || !nameClass[b[n+1]] {
			return i
		}
		i = n
	}
}

// leaf takes one such element, or returns i.
func (s *scan) leaf(b []byte, i int) int {
	j := i + 1
	for j < len(b) && leafName[b[j]] {
		j++
	}
	name := b[i+1 : j]
	if j+2 > len(b) || b[j] != '>' || b[j+1] == '\n' || len(name) == len(rpcErrorName) && string(name) == rpcErrorName {
		return i
	}
	j++
	k, seen := j, uint8(0)
	for k < len(b) {
		c := textClass[b[k]]
		if c == isStop {
			break
		}
		seen |= c
		k++
	}
	end := k + 2 + len(name)
	if end >= len(b) || b[k] != '<' || b[k+1] != '/' || b[end] != '>' || string(b[k+2:end]) != string(name) {
		return i
	}
	if s.mask != nil && (s.mask.rules.mayMask(name) || !s.mask.dull(k-j, seen) && s.mask.interesting(b[j:k], seen)) {
		return i
	}
	return end + 1
}

// commonTag takes a tag that is whole and has no attributes, as most; otherwise
// it returns i.
func (s *scan) commonTag(b []byte, i int) int {
	if b[i+1] == '/' {
		top := s.top()
		j := i + 2 + len(top)
		if j >= len(b) || b[j] != '>' || len(top) == 0 || string(b[i+2:j]) != string(top) {
			return i
		}
		s.endText(i)
		s.drop(j + 1)
		return j + 1
	}
	j := i + 2
	for j < len(b) && namePart[b[j]] {
		j++
	}
	if j == len(b) || b[j] != '>' {
		return i
	}
	s.endText(i)
	s.open(b[i+1:j], b[i+1:j], i, j+1)
	return j + 1
}

// tagAt takes the tag b[i:j], of which the end was looked for up to j.
func (s *scan) tagAt(b []byte, i, j int, quote byte, last bool) int {
	switch {
	case j-i > maxMarkup:
		s.tag = tagEnd{}
		s.endText(i)
		s.lose("a tag over 64 KiB")
		s.mode = inLongTag
		return i + 1
	case j == len(b) && !last:
		s.tag = tagEnd{seen: j - i - 1, quote: quote}
		return i
	}
	s.tag = tagEnd{}
	if j == len(b) || b[j] == '<' {
		if s.mask != nil && s.mask.busy {
			s.mask.endUnit(i)
		}
		return s.broken(b, i, j, "an unfinished tag")
	}
	s.endText(i)
	s.element(b, i, j)
	return j + 1
}

// element takes the tag between b[i], '<', and b[j], '>'.
func (s *scan) element(b []byte, i, j int) {
	tag, from := b[i+1:j], 0
	if tag[0] == '/' {
		from = 1
	}
	to := from
	for to < len(tag) && namePart[tag[to]] {
		to++
	}
	name, rest := tag[from:to], bytes.TrimSpace(tag[to:])
	if to < len(tag) && !spaceClass[tag[to]] && string(rest) != "/" && (tag[to] != '/' || from == 1) || from == 1 && len(rest) > 0 {
		s.malformed("a tag that has no name")
	}
	if from == 0 {
		s.open(name, tag, i, j+1)
	}
	if s.mask != nil && len(rest) > 0 {
		s.mask.attributes(b, i+1+to, j)
	}
	if from == 1 {
		s.pop(name, j+1)
	} else if tag[len(tag)-1] == '/' {
		s.drop(j + 1)
	}
}

// open takes the start tag b[i:j].
func (s *scan) open(name, tag []byte, i, j int) {
	if len(s.ends) == 0 && !s.lost {
		s.roots++
		if s.roots > 1 {
			s.malformed("two root elements")
		}
	}
	if len(s.ends) == maxDepth || len(s.names)+len(name) > maxNames {
		s.lose("elements nested too deep")
	}
	s.names = append(s.names, name...)
	s.ends = append(s.ends, len(s.names))
	if !s.lost && s.reply.start(name, tag, len(s.ends)) {
		s.taken = s.out.at(i)
	}
	if s.mask != nil {
		s.mask.open(localName(name))
	}
}

func localName(name []byte) []byte {
	if i := bytes.LastIndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}

// pop closes the named element at b[i]. When that is not the innermost one, the
// ones inside it end too; a name that is not open at all is passed over.
func (s *scan) pop(name []byte, i int) {
	at := len(s.ends) - 1
	for at >= 0 && !bytes.Equal(s.nameAt(at), name) {
		at--
	}
	if at < 0 || at < len(s.ends)-1 {
		s.malformed("tags that do not balance")
	}
	for at >= 0 && len(s.ends) > at {
		s.drop(i)
	}
}

// top is the name of the innermost open element; empty when there is none.
func (s *scan) top() []byte {
	if len(s.ends) == 0 {
		return nil
	}
	return s.nameAt(len(s.ends) - 1)
}

func (s *scan) nameAt(i int) []byte {
	if i == 0 {
		return s.names[:s.ends[0]]
	}
	return s.names[s.ends[i-1]:s.ends[i]]
}

// drop ends the innermost element, whose end tag ends before b[i].
func (s *scan) drop(i int) {
	if !s.lost && s.reply.end(len(s.ends)) {
		s.reply.raw(s.out.since(s.taken, i))
		s.reply.keep()
	}
	s.ends = s.ends[:len(s.ends)-1]
	s.names = s.names[:0]
	if n := len(s.ends); n > 0 {
		s.names = s.names[:s.ends[n-1]]
	}
	if s.mask != nil {
		s.mask.close(len(s.ends))
	}
}
