package ledger

import (
	"maps"
	"slices"
)

// links checks that each manifest names the one before it, from the first to the
// newest.
func (v *verifier) links() {
	partial := v.rep.Head.Run != ""
	for i, l := range v.chain {
		if want := i + 1; l.number != want && !partial {
			v.find(BadChain, l.where, "it is the %dth file of manifests and has the number %d: files are missing or were renamed.", want, l.number)
		}
		before := ""
		if i > 0 {
			before = v.chain[i-1].hash
		}
		if l.previous != before {
			v.misplaced(i, l, partial)
		}
	}
	if len(v.chain) > 0 {
		v.rep.Newest = v.chain[len(v.chain)-1].hash
	}
	// Some may have come between the cloud's look at the newest and the export.
	if _, here := v.byHash[v.rep.Head.Newest]; v.rep.Head.Newest != "" && !here && !partial {
		v.find(BadChain, "the end of the chain", "the newest manifest that the cloud has a receipt for has the SHA-256 %s, and the last one here %s: manifests at the end are missing.", v.rep.Head.Newest, orNone(v.rep.Newest))
	}
}

// misplaced says what a break of the chain means.
func (v *verifier) misplaced(i int, l link, partial bool) {
	at, known := v.byHash[l.previous]
	switch {
	case partial && !known:
		return // of another run, or before this one
	case known && at != i:
		v.find(BadChain, l.where, "it follows manifest %d by its signed content, and stands elsewhere: the chain was reordered, or a manifest was put in.", v.chain[at].number)
	case l.previous == "":
		v.find(BadChain, l.where, "it names no manifest before it, as the first one of a collector does, and stands behind others: the chain begins twice.")
	case i == 0:
		v.find(BadChain, l.where, "the manifest before it, with the SHA-256 %s, is not here: the beginning of the chain is missing.", l.previous)
	default:
		v.find(BadChain, l.where, "the manifest before it has the SHA-256 %s by its signed content, and %s has another: one is missing between them, or that one was changed.", l.previous, v.chain[i-1].where)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// unsigned lets manifests pass that came before signatures were kept. They stand in
// front of all that are signed.
func (v *verifier) unsigned() {
	blamed := map[string]bool{}
	for _, f := range v.rep.Findings {
		if f.Kind == BadSignature {
			blamed[f.Where] = true
		}
	}
	newer := slices.ContainsFunc(v.chain, func(l link) bool { return l.signed })
	for _, l := range v.chain {
		switch {
		case l.signed:
			newer = false // from here on each has a signature
		case blamed[l.where]:
		case newer:
			v.rep.Unsigned++
		default:
			v.find(BadSignature, l.where, "it has no signature: it was taken away, or the manifest was never signed.")
		}
	}
}

// ends looks for runs that no manifest ends.
func (v *verifier) ends() {
	for _, id := range slices.Sorted(maps.Keys(v.runs)) {
		r := v.runs[id]
		v.rep.Runs++
		switch {
		case r.ended:
		case r.state == "running" && (r.last.IsZero() || v.rep.Head.Exported.Sub(r.last) < patience):
			v.rep.UnderWay = append(v.rep.UnderWay, id)
		case r.last.IsZero() && r.state != "complete":
			// It never gave account of anything: its job expired or was refused.
		case r.last.IsZero():
			v.find(NoEnd, "run "+id, "the cloud calls it %s, and no manifest is of it.", r.state)
		default:
			v.find(NoEnd, "run "+id, "no manifest ends it: the newest of it is of %s and is not the last. The rest is missing, or the collector never came back to end it.", r.last.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
	}
}
