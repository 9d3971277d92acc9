package ledger

import (
	"maps"
	"slices"

	"lwc/transport/wire"
)

// documents compares what is stored with what was signed, both ways.
func (v *verifier) documents() {
	for _, d := range v.docs {
		v.taken[place{d.Run, d.Device, d.Item}] = true
	}
	for _, id := range slices.Sorted(maps.Keys(v.named)) {
		e := v.named[id]
		d, there := v.docs[id]
		switch {
		case e.stored() && there:
			v.same(e, d)
		case e.stored() && !v.elsewhere(e):
			v.find(Missing, "document "+id, "%s/%s: %s calls it %s, and it is not in the store.", e.device, e.item, e.where, e.status)
		case !e.stored() && there && e.status != wire.EntryWithheld && d.SHA256 == e.sha:
			v.rep.Arrived++ // its receipt did not reach the collector
		case !e.stored() && there:
			v.find(Contrary, "document "+id, "%s/%s: %s says that it is %s, and it is in the store: it left the site all the same.", e.device, e.item, e.where, e.status)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.docs)) {
		v.account(v.docs[id])
	}
	v.carried()
}

// elsewhere tells whether a duplicate is stored under the id of an earlier boot.
func (v *verifier) elsewhere(e *entry) bool {
	if e.status != wire.EntryDuplicate {
		return false
	}
	// It may have come in another run, which an export of one run does not hold.
	return v.taken[e.place] || v.rep.Head.Run != ""
}

// same compares the stored bytes of a document with the signed hash and size.
func (v *verifier) same(e *entry, d Record) {
	where := "document " + d.ID
	switch {
	case d.Device != e.device || d.Item != e.item:
		v.find(BadBytes, where, "the store has it as %s/%s, and %s as %s/%s.", d.Device, d.Item, e.where, e.device, e.item)
	case d.Unreadable != "":
		v.find(BadBytes, where, "%s/%s: its stored bytes cannot be read: %s. Restore the database from a backup.", d.Device, d.Item, d.Unreadable)
	case e.sha == "":
		v.find(BadBytes, where, "%s/%s: %s gives no SHA-256 for it, so nothing vouches for its bytes.", d.Device, d.Item, e.where)
	case d.SHA256 != e.sha || d.Size != e.size:
		v.find(BadBytes, where, "%s/%s: the stored bytes have the SHA-256 %s (%d bytes), and the collector signed %s (%d bytes): they were changed after they came.", d.Device, d.Item, d.SHA256, d.Size, e.sha, e.size)
	}
}

// account counts a stored document, and asks who names it.
func (v *verifier) account(d Record) {
	v.rep.Documents++
	v.rep.Bytes += d.Size
	if v.named[d.ID] != nil {
		return
	}
	run := v.runs[d.Run]
	underWay := run != nil && slices.Contains(v.rep.UnderWay, d.Run)
	for _, e := range v.places[place{d.Run, d.Device, d.Item}] {
		if e.boot != d.Boot { // a later boot found it there, and accounts for the item
			v.rep.Earlier++
			return
		}
	}
	if underWay {
		v.rep.Pending++
		return
	}
	v.find(Unnamed, "document "+d.ID, "%s/%s of run %s is in the store, and no manifest names it: it left the site without being accounted for, or was put into the store by someone else. If the box lost its power in that run, that explains it.", d.Device, d.Item, d.Run)
}

// carried compares the bytes that the export carries with its own records.
func (v *verifier) carried() {
	if v.rep.Head.Documents != DocumentsBytes {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(v.docs)) {
		d := v.docs[id]
		got, there := v.sums[id]
		switch {
		case d.Unreadable != "":
		case !there:
			v.find(BadBytes, "document "+id, "%s/%s: the export has no bytes of it.", d.Device, d.Item)
		case got.SHA256 != d.SHA256 || got.Size != d.Size:
			v.find(BadBytes, "document "+id, "%s/%s: the bytes in the export have the SHA-256 %s (%d bytes), and its record says %s (%d bytes).", d.Device, d.Item, got.SHA256, got.Size, d.SHA256, d.Size)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.sums)) {
		if _, known := v.docs[id]; !known {
			v.find(Unnamed, "document "+id, "the export has bytes of it, and no record.")
		}
	}
}
