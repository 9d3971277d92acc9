package junos

// Scan scans a document that comes in pieces of 64 KiB and returns how much was
// handed on.
func Scan(item string, mask *Mask, doc []byte) (int, Result) {
	s, n := newScan(item, mask), 0
	for len(doc) > 0 {
		k := min(64<<10, len(doc))
		n += len(s.write(doc[:k]))
		doc = doc[k:]
	}
	n += len(s.end())
	return n, s.result(false)
}
