package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lwc/image/sitefile"
)

// A file counts once. One that stays on its volume when another came, as that on the
// box's own disk does, would otherwise bring old settings back when the other is gone.

// takenFile lies beside the settings: what was taken, the newest on the last line.
const takenFile = "taken"

// maxTaken bounds it: 33 KiB. No site changes its settings that often.
const maxTaken = 256

// print tells a file by its content: as it came, and with its token overwritten, as it
// is on the volume once the box has enrolled.
type print [2][sha256.Size]byte

func printOf(raw []byte) print {
	scrubbed, _ := sitefile.Scrub(raw)
	return print{sha256.Sum256(raw), sha256.Sum256(scrubbed)}
}

func (p print) is(raw []byte) bool { return slices.Contains(p[:], sha256.Sum256(raw)) }

// history is the files that were taken, oldest first.
type history []print

// newest tells whether this was the last file that was taken.
func (h history) newest(raw []byte) bool { return len(h) > 0 && h[len(h)-1].is(raw) }

// older tells whether another was taken after this one.
func (h history) older(raw []byte) bool {
	return !h.newest(raw) && slices.ContainsFunc(h, func(p print) bool { return p.is(raw) })
}

// with makes a file the newest.
func (h history) with(raw []byte) history {
	now := printOf(raw)
	out := slices.DeleteFunc(slices.Clone(h), func(p print) bool { return p == now })
	out = append(out, now)
	return out[max(0, len(out)-maxTaken):]
}

func (h history) text() []byte {
	var b bytes.Buffer
	for _, p := range h {
		fmt.Fprintf(&b, "%x %x\n", p[0], p[1])
	}
	return b.Bytes()
}

// parseHistory passes over what is damaged: a file that is forgotten counts again.
func parseHistory(text []byte) history {
	var h history
	for line := range strings.Lines(string(text)) {
		var p print
		asCame, scrubbed, _ := strings.Cut(strings.TrimSpace(line), " ")
		if undo(p[0][:], asCame) && undo(p[1][:], scrubbed) {
			h = append(h, p)
		}
	}
	return h[max(0, len(h)-maxTaken):]
}

func undo(out []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(out)) {
		return false
	}
	_, err := hex.Decode(out, []byte(text))
	return err == nil
}

func (p *Provisioner) readTaken() (history, error) {
	text, err := os.ReadFile(filepath.Join(p.Settings, takenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return parseHistory(text), err
}

// over tells that a file was taken, and another after it. A box without settings takes
// any file: an old one is better than none.
func (k knowledge) over(f found) bool { return k.file != nil && f.hasFile() && k.taken.older(f.raw) }

// unused tells of attached volumes whose file is over: somebody may wait for it.
func (k knowledge) unused(all []found) []sitefile.Problem {
	var problems []sitefile.Problem
	for _, f := range all {
		if !f.volume.Own && k.over(f) {
			problems = append(problems, sitefile.Problem{Kind: KindTaken, Text: f.source() + " was taken before, and another file after it",
				Do: "take the volume out; to go back to these settings, change something in the file, if only a remark"})
		}
	}
	return problems
}
