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
	CodeStore     = "store"     // the database failed; send it again
	CodeRefused   = "refused"   // its run or id is another collector's
)

// refuse queues a rejected receipt.
func (s *Stream) refuse(boot, id, code string, retry bool) {
	s.answers = append(s.answers, answer{boot, wire.Receipt{
		ID: id, Status: wire.Rejected, Code: code, Retryable: retry}})
	s.touch()
}

// fault maps an error of the assembler to a code, and tells whether the same
// document could be taken another time.
func (s *Stream) fault(h wire.Header, err error) (code string, retry bool) {
	switch {
	case errors.Is(err, wire.ErrSealed):
		return CodeSealed, true
	case errors.Is(err, wire.ErrTooLarge) && h.Size <= s.in.cfg.MaxDocument && h.Parts != 1:
		return CodeBusy, true
	case errors.Is(err, wire.ErrTooLarge):
		return CodeTooLarge, false
	}
	// The parts of two deliveries may have been mixed; one part cannot be.
	return CodeFrame, h.Parts != 1
}

// refuseUnread answers a frame that cannot be read, if its header at least
// names an id and a boot.
func (s *Stream) refuseUnread(frame []byte) {
	if boot, id, ok := salvage(frame); ok {
		s.refuse(boot, id, CodeFrame, false)
	}
}

// salvage reads boot and id from a frame that ParseFrame refused.
func salvage(frame []byte) (boot, id string, ok bool) {
	const fixed = 8 // magic and length
	if len(frame) < fixed {
		return "", "", false
	}
	rest := frame[fixed:]
	n := int64(binary.BigEndian.Uint32(frame[fixed-4 : fixed]))
	if n > int64(len(rest)) || n > wire.MaxFrame {
		return "", "", false
	}
	var h struct{ Boot, ID string }
	if json.Unmarshal(rest[:n], &h) != nil || wire.CheckID(h.ID) != nil || wire.CheckID(h.Boot) != nil {
		return "", "", false
	}
	return h.Boot, h.ID, true
}
