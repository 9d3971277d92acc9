package sitefile

import (
	"fmt"
	"regexp"
	"time"

	"lwc/transport/wire"
)

// About is the remark before a file that was made with a token: its id, and until when
// it is good, which the token itself does not say.
func About(id string, expires time.Time) []byte {
	return fmt.Appendf(nil, "# With the token %s, good until %s. To revoke it: lwc-cloud enrol-token --revoke %s\n\n", id, expires.UTC().Format(time.RFC3339), id)
}

var about = regexp.MustCompile(`(?m)^# With the token (\S+), good until (\S+)\. `)

// goodUntil is when the token of that id runs out, as the remark of [About] has it. Zero:
// the file does not say so of this token.
func goodUntil(raw []byte, id string) time.Time {
	text, _, p := decode(raw)
	if p != nil {
		return time.Time{}
	}
	for _, found := range about.FindAllStringSubmatch(text, -1) {
		if until, err := time.Parse(time.RFC3339, found[2]); err == nil && found[1] == id {
			return until
		}
	}
	return time.Time{}
}

// TokenWords names the token of a file by its id, and says until when it is good where the file
// tells; the warning is a line of its own.
func TokenWords(f *File, raw []byte, now time.Time) (words, warning string) {
	switch {
	case f.TokenUsed:
		return "used: only a box that has enrolled takes this file", ""
	case f.Token.Empty():
		return "none: only a box that has enrolled takes this file", ""
	}
	t, err := wire.ParseToken(wire.EnrolToken, f.Token)
	if err != nil {
		return "damaged", ""
	}
	until := goodUntil(raw, t.ID)
	switch {
	case until.IsZero():
		return t.ID + "; the file does not say until when it is good (lwc-cloud enrol-token --list does)", ""
	case !now.Before(until):
		return t.ID + ", ran out at " + until.Format(time.RFC3339), "The token has run out: the cloud refuses it. Get a new file.\n"
	}
	return t.ID + ", good until " + until.Format(time.RFC3339), ""
}

// EnrolledOnly is what to tell of a file that [Parse] refuses for its token alone. A box
// that has enrolled takes it, and needs no new token. Empty: it is wrong for every box.
func EnrolledOnly(name string, raw []byte) string {
	if _, err := Parse(name, raw); err == nil {
		return ""
	}
	f, err := ParseSettings(name, raw)
	if err != nil || !f.Token.Empty() {
		return ""
	}
	return "For a new box that is so. For a box that has enrolled the file is good as it is: it needs no token for new settings. Check it with --enrolled, and bring it on a stick called " + VolumeLabel + "."
}
