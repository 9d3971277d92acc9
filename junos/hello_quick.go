package junos

import "bytes"

// quickHello reads a hello as devices write it, in a twentieth of the time that a
// tree of it takes. It is not sure of anything out of the ordinary: an error, a
// reference, a section, a second hello.
func quickHello(message []byte) (h serverHello, sure bool) {
	inside := false
	for {
		tag, text, rest, ok := nextTag(message)
		if !ok {
			return serverHello{}, false
		}
		message = rest
		name, end, empty := readTag(tag)
		switch {
		case name == "hello" && end:
			return h, inside
		case name == "hello" && !inside && !empty:
			inside = true
		case name == "hello", name == "rpc-error":
			return serverHello{}, false
		case end || !inside:
		case name == "session-id" && h.sessionID == "":
			h.sessionID = clipText(string(text), maxFact)
		case name == "capability":
			h.chunked = h.chunked || isBase11(string(bytes.TrimSpace(text)))
		}
	}
}

func isBase11(capability string) bool { return capability == base11 || capability == base11URN }

// nextTag returns the next tag without its brackets and the text behind it. It
// passes comments and instructions over, and is not ok at the end and where it is
// not sure.
func nextTag(b []byte) (tag, text, rest []byte, ok bool) {
	for {
		_, b, ok = bytes.Cut(b, []byte("<"))
		comment, instruction := bytes.HasPrefix(b, []byte("!--")), bytes.HasPrefix(b, []byte("?"))
		switch {
		case !ok || len(b) == 0:
			return nil, nil, nil, false
		case comment:
			_, b, ok = bytes.Cut(b[len("!--"):], []byte("-->"))
		case instruction:
			_, b, ok = bytes.Cut(b, []byte("?>"))
		default:
			tag, rest, ok = bytes.Cut(b, []byte(">"))
			text = rest[:max(0, bytes.IndexByte(rest, '<'))]
			return tag, text, rest, ok && plainTag(tag) && bytes.IndexByte(text, '&') < 0
		}
		if !ok {
			return nil, nil, nil, false
		}
	}
}

// plainTag tells whether a tag surely ends where its first '>' is.
func plainTag(tag []byte) bool {
	return len(tag) > 0 && tag[0] != '!' && bytes.IndexByte(tag, '<') < 0 &&
		bytes.Count(tag, []byte(`"`))%2 == 0 && bytes.IndexByte(tag, '\'') < 0
}

// readTag returns the name in a tag without its prefix, and whether the tag ends
// an element or is one without content.
func readTag(tag []byte) (name string, end, empty bool) {
	tag, end = bytes.CutPrefix(tag, []byte("/"))
	tag, empty = bytes.CutSuffix(tag, []byte("/"))
	if i := bytes.IndexAny(tag, " \t\r\n"); i >= 0 {
		tag = tag[:i]
	}
	_, local := splitName(tag)
	return string(local), end, empty
}

// attributeOf returns the value of an attribute of a start tag by its local name;
// nil: there is none.
func attributeOf(tag []byte, local string) *string {
	for {
		before, after, ok := bytes.Cut(tag, []byte("="))
		if !ok {
			return nil
		}
		after = bytes.TrimLeft(after, " \t\r\n")
		if len(after) == 0 || after[0] != '"' && after[0] != '\'' {
			tag = after
			continue
		}
		value, rest, ok := bytes.Cut(after[1:], after[:1])
		if !ok {
			return nil
		}
		before = bytes.TrimRight(before, " \t\r\n")
		space := bytes.LastIndexAny(before, " \t\r\n")
		if _, name := splitName(before[space+1:]); space >= 0 && string(name) == local {
			v := string(value)
			return &v
		}
		tag = rest
	}
}
