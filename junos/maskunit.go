package junos

// maskUnit is a line of text, or a window of one, as a reader of XML sees it, with
// the bytes it came as.
type maskUnit struct {
	text   []byte
	raw    []byte
	pieces []maskPiece
}

// maskPiece is text that came as it is, or as a reference, or is no text at all
// but the beginning or end of CDATA, and then is none of the unit's text.
type maskPiece struct {
	text, raw int // how long it is, in the text and as it came
	plain     bool
}

func (u *maskUnit) literal(p []byte) {
	u.text = append(u.text, p...)
	u.raw = append(u.raw, p...)
	if n := len(u.pieces); n > 0 && u.pieces[n-1].plain {
		u.pieces[n-1].text += len(p)
		u.pieces[n-1].raw += len(p)
		return
	}
	u.pieces = append(u.pieces, maskPiece{len(p), len(p), true})
}

func (u *maskUnit) reference(raw, char []byte) {
	u.text = append(u.text, char...)
	u.raw = append(u.raw, raw...)
	u.pieces = append(u.pieces, maskPiece{text: len(char), raw: len(raw)})
}

func (u *maskUnit) delimiter(raw []byte) {
	u.raw = append(u.raw, raw...)
	u.pieces = append(u.pieces, maskPiece{raw: len(raw)})
}

// bound returns the end of the reference in which n is, else n.
func (u *maskUnit) bound(n int) int {
	at := 0
	for _, p := range u.pieces {
		if at+p.text >= n {
			if !p.plain {
				return at + p.text
			}
			return n
		}
		at += p.text
	}
	return n
}

// render appends the first n bytes of text as they came, with what was found
// replaced. Delimiters stay, so that what was well-formed still is.
func (u *maskUnit) render(b []byte, found []finding, n int) []byte {
	at, raw := 0, u.raw
	for _, p := range u.pieces {
		if at > n || at == n && p.text > 0 {
			break
		}
		switch {
		case p.text == 0:
			b = append(b, raw[:p.raw]...)
		case p.plain:
			b, found = renderPlain(b, raw[:min(p.raw, n-at)], at, found)
		default:
			for len(found) > 0 && found[0].to <= at {
				if found[0].from == at {
					b = append(b, found[0].with...)
				}
				found = found[1:]
			}
			switch {
			case len(found) == 0 || found[0].from >= at+p.text:
				b = append(b, raw[:p.raw]...)
			case found[0].from >= at:
				b = append(b, found[0].with...)
			}
		}
		at += p.text
		raw = raw[p.raw:]
	}
	return b
}

// renderPlain appends p, the text at that offset, with what was found in it
// replaced, and returns what was found behind it.
func renderPlain(b, p []byte, at int, found []finding) ([]byte, []finding) {
	end, pos := at+len(p), at
	for len(found) > 0 && found[0].from < end {
		f := found[0]
		if f.from >= pos && f.from >= at {
			b = append(b, p[pos-at:f.from-at]...)
			b = append(b, f.with...)
		}
		pos = max(pos, min(f.to, end))
		if f.to > end {
			break
		}
		found = found[1:]
	}
	return append(b, p[pos-at:]...), found
}

// cut drops the first n bytes of text, and the delimiters up to there.
func (u *maskUnit) cut(n int) {
	at, raw, i := 0, 0, 0
	for ; i < len(u.pieces); i++ {
		p := u.pieces[i]
		if at >= n && p.text > 0 {
			break
		}
		if at+p.text > n {
			u.pieces[i] = maskPiece{p.text - (n - at), p.raw - (n - at), true}
			raw += n - at
			break
		}
		at, raw = at+p.text, raw+p.raw
	}
	u.text = u.text[:copy(u.text, u.text[n:])]
	u.raw = u.raw[:copy(u.raw, u.raw[raw:])]
	u.pieces = u.pieces[:copy(u.pieces, u.pieces[i:])]
}
