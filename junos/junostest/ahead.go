package junostest

import (
	"io"
	"sync/atomic"
)

// await watches for the next request while a reply is being made, and calls
// early when it comes. over ends that: it says whether none has come. The next
// read waits for the watch to end.
func (f *framer) await(early func()) (over func() bool) {
	var first atomic.Bool // taken by whoever is first, the request or the reply
	f.watching = true
	f.watch.Go(func() {
		if f.more() && first.CompareAndSwap(false, true) {
			early()
		}
	})
	return func() bool { return first.CompareAndSwap(false, true) }
}

// more waits until the client has sent more than line feeds. It is false at the
// end of the stream.
func (f *framer) more() bool {
	for {
		b, err := f.r.Peek(1)
		if err != nil {
			return false
		}
		if b[0] != '\n' && b[0] != ' ' {
			return true
		}
		if _, err := f.r.Discard(1); err != nil {
			return false
		}
	}
}

// leave ends the watch, if there has been one, for which it closes the session.
func (f *framer) leave(rw io.ReadWriter) {
	if c, ok := rw.(io.Closer); ok && f.watching {
		c.Close()
	}
	f.watch.Wait()
}
