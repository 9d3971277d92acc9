package collector

import "sync"

// told is what was reported already, so that a thousand devices behind one
// bastion do not report it a thousand times.
type told struct {
	mu   sync.Mutex // guards seen
	seen map[string]struct{}
}

// once reports whether it is the first call with these words.
func (t *told) once(words string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.seen[words]; again {
		return false
	}
	if t.seen == nil {
		t.seen = map[string]struct{}{}
	}
	t.seen[words] = struct{}{}
	return true
}
