package junos

import "bytes"

// attributes masks the attributes of a tag, src[i:j], behind its name. What is no
// attribute is masked as text.
func (m *masker) attributes(b []byte, i, j int) {
	extra := m.find.extra
	m.side = true
	for i < j {
		for i < j && (spaceClass[b[i]] || b[i] == '/') {
			i++
		}
		name, from, to, ok := nextAttribute(b, i, j)
		if !ok {
			m.find.extra = nil
			m.region(b, i, j)
			break
		}
		m.attribute(b, localName(name), from, to)
		i = to + 1
	}
	m.find.extra, m.side = extra, false
}

// nextAttribute reads the attribute at b[i]; its value is b[from:to].
func nextAttribute(b []byte, i, j int) (name []byte, from, to int, ok bool) {
	k := i
	for k < j && namePart[b[k]] {
		k++
	}
	name = b[i:k]
	for k < j && spaceClass[b[k]] {
		k++
	}
	if len(name) == 0 || k == j || b[k] != '=' {
		return nil, 0, 0, false
	}
	k++
	for k < j && spaceClass[b[k]] {
		k++
	}
	if k == j || b[k] != '"' && b[k] != '\'' {
		return nil, 0, 0, false
	}
	n := bytes.IndexByte(b[k+1:j], b[k])
	return name, k + 1, k + 1 + n, n >= 0
}

// attribute masks a value, src[i:j].
func (m *masker) attribute(b []byte, name []byte, i, j int) {
	m.find.extra = nil
	if m.rules.mayMask(name) {
		for _, t := range targets(m.rules.attrs, name) {
			switch {
			case !t.fits(m.s, 0):
			case t.pattern != nil:
				m.find.extra = append(m.find.extra, t)
			default:
				m.whole(b, i, j, t.class)
				return
			}
		}
		if t := m.rules.bySuffix(name); t != nil {
			m.whole(b, i, j, t.class)
			return
		}
	}
	m.region(b, i, j)
}

// whole masks a value, src[i:j], but not the white space around it.
func (m *masker) whole(b []byte, i, j int, class MaskClass) {
	for i < j && spaceClass[b[i]] {
		i++
	}
	for i < j && spaceClass[b[j-1]] {
		j--
	}
	if i == j {
		return
	}
	m.count(class)
	m.out.drop(i, j)
	m.out.insert(j, m.find.namer.of(nil, class, resolve(b[i:j])))
}

// resolve resolves the references in p.
func resolve(p []byte) []byte {
	var to []byte
	for {
		n := bytes.IndexByte(p, '&')
		if n < 0 {
			return append(to, p...)
		}
		to, p = append(to, p[:n]...), p[n:]
		if n = referenceLen(p); n == 0 {
			n, to = 1, append(to, '&')
		} else {
			to = decodeReference(to, p[:n])
		}
		p = p[n:]
	}
}

// referenceLen is the length of the reference at the beginning of p; 0: it is
// none.
func referenceLen(p []byte) int {
	n := 1
	for n < len(p) && n < maxReference && referenceClass[p[n]] {
		n++
	}
	if n == 1 || n == len(p) || p[n] != ';' {
		return 0
	}
	return n + 1
}

// region masks src[i:j], text with references that is whole.
func (m *masker) region(b []byte, i, j int) {
	seen := uint8(0)
	for _, c := range b[i:j] {
		seen |= textClass[c]
	}
	if seen&isStop == 0 && shortLines(b[i:j]) {
		if m.interesting(b[i:j], seen) {
			m.inPlace(b, i, j)
			m.endUnit(j)
		}
		return
	}
	for i < j {
		n := bytes.IndexByte(b[i:j], '&')
		if n != 0 {
			if n < 0 {
				n = j - i
			}
			m.gather(b, i, i+n)
		} else if n = referenceLen(b[i:j]); n == 0 {
			n = 1
			m.gather(b, i, i+1)
		} else {
			m.unitReference(b, i, i+n)
		}
		i += n
	}
	m.endUnit(j)
}
