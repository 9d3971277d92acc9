package ingest

import "time"

const (
	// minWindow lets two frames be under way: with one, each would wait for the
	// receipt of the one before.
	minWindow = 256 << 10
	// A commit that takes longer than slowCommit makes the window smaller; one that
	// is faster than fastCommit lets it grow. An fsync of a busy disk takes some 10
	// to 100 ms.
	slowCommit = 2 * time.Second
	fastCommit = 500 * time.Millisecond
)

// window bounds what a collector may send without a receipt. It is halved when
// the store is slow or refuses, and grows again by a quarter at each commit that
// is fast.
type window struct{ now, most int64 }

func newWindow(most int64) window { return window{now: most, most: most} }

func (w *window) refused() { w.now = max(min(minWindow, w.most), w.now/2) }

func (w *window) committed(took time.Duration) {
	switch {
	case took > slowCommit:
		w.refused()
	case took < fastCommit:
		w.now = min(w.most, w.now+w.now/4)
	}
}
