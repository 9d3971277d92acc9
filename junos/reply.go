package junos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Reply is the document that answers a Call, read as it arrives. Read returns
// io.EOF at its end, or an *Error; either way Result tells what was read.
type Reply struct {
	s    *Session
	item string
	id   string
	ctx  context.Context // of the Call, as of an HTTP response's body

	// The turn of the session guards these.
	cur   []byte // read from the channel and not yet by the caller
	begun bool   // the document's first byte was seen
	limit int64

	mu   sync.Mutex // held for scan and end, so that Result needs no turn
	scan *scan
	end  error // io.EOF, or why the document is cut
}

var (
	errAbandoned = errors.New("the session went on to the next request")
	errTooLarge  = errors.New("document over the limit")
	errForeign   = errors.New("foreign message-id")
)

// begin reads up to the root's start tag, which says whom the reply answers.
func (s *Session) begin(ctx context.Context, item, id string) (*Reply, error) {
	r := &Reply{s: s, item: item, id: id, ctx: ctx, scan: newScan(), limit: s.opts.MaxReply}
	var head []byte
	for r.end == nil && !r.addressed() {
		span := r.next()
		if r.addressed() || r.end != nil {
			head = join(head, span)
			break
		}
		head = append(head, span...)
	}
	if r.end != nil && r.end != io.EOF && len(head) == 0 {
		return nil, r.end
	}
	if got := r.scan.reply.messageID; got != nil && *got != id {
		err := fmt.Errorf("%w %q in the reply to %q", errForeign, clipText(*got, maxFact), id)
		s.fail(err)
		return nil, &Error{Kind: KindMessageID, Phase: PhaseRPC, Item: item, Err: err}
	}
	r.cur = head
	s.current = r
	return r, nil
}

// join avoids a copy in the usual case.
func join(head, span []byte) []byte {
	if len(head) == 0 {
		return span
	}
	return append(head, span...)
}

// addressed tells whether the root's start tag was seen, or will not come.
func (r *Reply) addressed() bool {
	return r.scan.roots > 0 || r.scan.mode == opaque || r.scan.size > maxMarkup
}

// next returns the next bytes of the document, scanned. It sets end when there
// are none. The caller has the turn, or is begin.
func (r *Reply) next() []byte {
	for {
		span, err := r.s.frames.span(r.ctx)
		if err != nil {
			r.finish(err)
			return nil
		}
		if !r.begun {
			span = skipLeading(span)
			r.begun = len(span) > 0
		}
		if len(span) > 0 {
			return r.look(span)
		}
	}
}

// skipLeading drops the white space that some devices send between messages,
// and a byte order mark, even one that is split.
func skipLeading(b []byte) []byte {
	for i, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n', 0xEF, 0xBB, 0xBF:
		default:
			return b[i:]
		}
	}
	return nil
}

// look scans a span, cut to the limit.
func (r *Reply) look(span []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if room := r.limit - r.scan.size; int64(len(span)) > room {
		span = span[:room]
		r.end = &Error{Kind: KindTooLarge, Phase: PhaseRPC, Item: r.item,
			Err: fmt.Errorf("%w of %d bytes", errTooLarge, r.limit)}
	}
	r.scan.write(span)
	return span
}

// finish sets the end by what a span ended with.
func (r *Reply) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == errEnd {
		r.s.owed = false
		r.end = io.EOF
		return
	}
	r.end = r.s.rpcError(r.item, err, r.begun)
	switch kindOf(err, r.begun) {
	case KindFraming, KindClosed:
		r.s.fail(err)
	}
}

// Read implements io.Reader.
func (r *Reply) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.acquire(); err != nil {
		return 0, err
	}
	defer r.s.release()
	if len(r.cur) == 0 && r.end == nil {
		r.cur = r.next()
	}
	if len(r.cur) == 0 {
		return 0, r.end
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

// acquire waits for the turn, and only for it: what was read before the
// session ended can still be had.
func (r *Reply) acquire() error {
	select {
	case <-r.s.turn:
		return nil
	case <-r.ctx.Done():
		return r.s.rpcError(r.item, context.Cause(r.ctx), true)
	}
}

// abandon is called with the turn, before the session reads on.
func (r *Reply) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cur = nil
	if r.end == nil {
		r.end = &Error{Kind: KindClosed, Phase: PhaseRPC, Item: r.item, Err: errAbandoned}
	}
}

// Result tells what the document is, as far as it came. It is final once Read
// has returned an error; without io.EOF the outcome is Partial.
func (r *Reply) Result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.scan.result(r.end != io.EOF)
}
