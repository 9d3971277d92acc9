package ingest

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"lwc/transport/wire"
)

// The codes of a rejected receipt.
const (
	CodeFrame     = "bad-frame" // not a frame, or not what its header says
	CodeHeader    = "bad-header"
	CodeTooLarge  = "too-large"
	CodeBusy      = "busy"      // too much is unfinished; send it again
	CodeSealed    = "not-ours"  // sealed to another key; say hello for the right one
	CodeSignature = "signature" // of a manifest
	CodeManifest  = "manifest"  // it contradicts itself or what is stored
	CodeChain     = "chain"     // a manifest does not follow the newest one
	CodeStore     = "store"     // the database failed; send it again
	CodeRefused   = "refused"   // its run or id is another collector's
	CodeBase      = "base"      // unchanged, and no document of the item has these bytes
	CodeParts     = "parts"     // parts that had a receipt are not there any more
)

// refuse queues a rejected receipt.
func (s *Stream) refuse(boot, id, code string, retry bool) {
	s.answers = append(s.answers, answer{boot, wire.Receipt{
		ID: id, Status: wire.Rejected, Code: code, Retryable: retry}})
	s.touch()
}

// refuseAll refuses the document of a frame, or all that share it.
func (s *Stream) refuseAll(h wire.Header, code string, retry bool) {
	if len(h.Docs) == 0 {
		s.refuse(h.Boot, h.ID, code, retry)
	}
	for _, d := range h.Docs {
		s.refuse(h.Boot, d.ID, code, retry)
	}
}

// fault maps an error of a frame's body to a code, and tells whether the same
// document could be taken another time.
func (s *Stream) fault(err error) (code string, retry bool) {
	switch {
	case errors.Is(err, wire.ErrSealed):
		return CodeSealed, true
	case errors.Is(err, wire.ErrTooLarge):
		return CodeTooLarge, false
	}
	return CodeFrame, false
}

// refuseUnread answers a frame that cannot be read, if its header at least
// names an id and a boot.
func (s *Stream) refuseUnread(frame []byte) {
	if h, ok := salvage(frame); ok {
		s.refuseAll(h, CodeFrame, false)
	}
}

// salvage reads boot and ids from a frame that ParseFrame refused.
func salvage(frame []byte) (out wire.Header, ok bool) {
	const fixed = 8 // magic and length
	if len(frame) < fixed {
		return out, false
	}
	rest := frame[fixed:]
	n := int64(binary.BigEndian.Uint32(frame[fixed-4 : fixed]))
	if n > int64(len(rest)) || n > wire.MaxFrame {
		return out, false
	}
	var h struct {
		Boot, ID string
		Docs     []struct{ ID string }
	}
	if json.Unmarshal(rest[:n], &h) != nil || wire.CheckID(h.ID) != nil || wire.CheckID(h.Boot) != nil || len(h.Docs) > wire.MaxDocs {
		return out, false
	}
	out.Boot, out.ID = h.Boot, h.ID
	for _, d := range h.Docs {
		if wire.CheckID(d.ID) == nil {
			out.Docs = append(out.Docs, wire.Doc{ID: d.ID})
		}
	}
	return out, true
}
