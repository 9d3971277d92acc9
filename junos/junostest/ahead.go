package junostest

import "io"

// await watches for the next request while a reply is under way, and calls
// early when it comes before that reply is sent. came is closed then. The next
// read waits for the watch to end.
func (f *framer) await(early func()) (came <-chan struct{}) {
	ch := make(chan struct{})
	f.watching = true
	f.watch.Go(func() {
		if f.more() {
			close(ch)
			early()
		}
	})
	return ch
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
