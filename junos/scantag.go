package junos

import "bytes"

func (s *scan) stepTag(p []byte) int {
	i := 0
	for i < len(p) && !tagClass[p[i]] {
		i++
	}
	if !s.grow(p[:i]) || i == len(p) {
		return i
	}
	switch p[i] {
	case '>':
		s.mode = inText
		s.element()
	case '<':
		s.malformed("a less-than sign inside a tag")
		s.mode = inText
		return i
	default:
		s.mode, s.quote = inQuote, p[i]
		s.grow(p[i : i+1])
	}
	return i + 1
}

func (s *scan) stepQuote(p []byte) int {
	i := bytes.IndexByte(p, s.quote)
	if i < 0 {
		s.grow(p)
		return len(p)
	}
	s.mode = inTag
	s.grow(p[:i+1])
	return i + 1
}

// grow adds to the tag; a tag beyond the bound makes the document opaque.
func (s *scan) grow(p []byte) bool {
	if len(s.tag)+len(p) > maxMarkup {
		s.malformed("a tag over 64 KiB")
		s.mode = opaque
		return false
	}
	s.tag = append(s.tag, p...)
	return true
}

// element takes the finished tag.
func (s *scan) element() {
	if s.tag[0] == '/' {
		name := s.tag[1:]
		for len(name) > 0 && spaceClass[name[len(name)-1]] {
			name = name[:len(name)-1]
		}
		s.pop(name)
		return
	}
	name, empty := tagName(s.tag), s.tag[len(s.tag)-1] == '/'
	if len(s.ends) == 0 {
		s.roots++
		if s.roots > 1 {
			s.malformed("two root elements")
		}
	}
	if len(s.ends) == maxDepth || len(s.names)+len(name) > maxNames {
		s.malformed("elements nested too deep")
		s.mode = opaque
		return
	}
	s.names = append(s.names, name...)
	s.ends = append(s.ends, len(s.names))
	s.reply.start(name, s.tag, len(s.ends))
	if empty {
		s.drop()
	}
}

// tagName returns the name, with its prefix, at the beginning of a start tag.
func tagName(tag []byte) []byte {
	for i, c := range tag {
		if c == '/' || spaceClass[c] {
			return tag[:i]
		}
	}
	return tag
}

// pop closes the named element. When that is not the innermost one, the ones
// inside it end too; a name that is not open at all is passed over.
func (s *scan) pop(name []byte) {
	for i := len(s.ends) - 1; i >= 0; i-- {
		if bytes.Equal(s.nameAt(i), name) {
			for len(s.ends) > i {
				s.drop()
			}
			return
		}
		s.malformed("tags that do not balance")
	}
	s.malformed("tags that do not balance")
}

func (s *scan) nameAt(i int) []byte {
	if i == 0 {
		return s.names[:s.ends[0]]
	}
	return s.names[s.ends[i-1]:s.ends[i]]
}

// drop ends the innermost element.
func (s *scan) drop() {
	s.reply.end(len(s.ends))
	s.ends = s.ends[:len(s.ends)-1]
	s.names = s.names[:0]
	if n := len(s.ends); n > 0 {
		s.names = s.names[:s.ends[n-1]]
	}
}
