package junos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Reply is the document that answers a Call, read as it arrives. Read returns
// io.EOF at its end, or an *Error; either way Result tells what was read.
type Reply struct {
	l     *link
	q     *request
	ctx   context.Context // of the Call, as of an HTTP response's body
	limit int64
	plain func() string // the document, when it is text and no markup; nil: that cannot be

	// The turn of the link guards these.
	span  []byte // came, and not yet scanned
	cur   []byte // scanned, and not yet with the caller
	own   bool   // cur is a copy; else what the link and the scan lend until they go on
	blank int    // bytes before the document
	known bool   // the reply is to q

	mu   sync.Mutex // held for scan, came and end, so that Result needs no turn
	scan *scan
	came int64 // bytes of the document
	end  error // io.EOF, or why the document is cut
}

// headSize is how much is scanned at once while the message-id is looked for, so
// that a reply that is thrown away costs no more.
const headSize = 512

var (
	errAbandoned = errors.New("the session went on to the next request")
	errTooLarge  = errors.New("document over the limit")
	errForeign   = errors.New("foreign message-id")
)

func newReply(ctx context.Context, l *link, q *request, o Options) *Reply {
	return &Reply{l: l, q: q, ctx: ctx, limit: o.MaxReply, scan: newScan(q.name, o.Mask)}
}

// open reads up to the root's start tag, which says whom the reply answers. The
// caller has the turn.
func (r *Reply) open() (*Reply, error) {
	r.l.pump.pace.restart()
	for r.seeking() && r.end == nil {
		r.step()
	}
	if e, ok := r.end.(*Error); ok && (r.came == 0 || e.Kind == KindMessageID) {
		return nil, e
	}
	return r, nil
}

// step scans the next bytes of the document. It sets end when there are none.
func (r *Reply) step() {
	if r.own = r.own && len(r.cur) > 0; !r.own && len(r.cur) > 0 {
		r.cur, r.own = slices.Clone(r.cur), true
	}
	piece, err := r.pull(r.ctx)
	if err != nil {
		r.finish(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.limit - r.came
	out, err := r.look(piece[:min(int64(len(piece)), room)])
	switch {
	case err != nil:
		r.cur, r.end = nil, r.fault(err)
		r.l.ended(err)
		return
	case int64(len(piece)) > room:
		err := fmt.Errorf("%w of %d bytes", errTooLarge, r.limit)
		out = append(out[:len(out):len(out)], r.scan.end()...)
		r.end = r.fault(err)
	}
	r.lend(out)
}

// lend makes b the next that the caller gets.
func (r *Reply) lend(b []byte) {
	if r.own {
		r.cur = append(r.cur, b...)
	} else {
		r.cur = b
	}
}

// pull takes the next bytes of the document as they came, a few only while it is
// not known whom they answer.
func (r *Reply) pull(ctx context.Context) ([]byte, error) {
	for len(r.span) == 0 {
		span, err := r.l.spans(ctx)
		if err != nil {
			return nil, err
		}
		if r.came == 0 {
			span, err = r.skipBlank(span)
		}
		if err != nil {
			return nil, err
		}
		r.span = span
	}
	n := len(r.span)
	if r.seeking() {
		n = min(n, headSize)
	}
	piece := r.span[:n]
	r.span = r.span[n:]
	return piece, nil
}

// seeking tells whether the beginning of the document is still held, since it is
// not known whom it answers. A document that hides it is handed on, and cut where
// it turns out to be another's.
func (r *Reply) seeking() bool { return !r.known && r.came <= maxMarkup }

// skipBlank drops what stands before the document, within a bound.
func (r *Reply) skipBlank(b []byte) ([]byte, error) {
	rest := skipLeading(b)
	if r.blank += len(b) - len(rest); r.blank > maxMarkup {
		return nil, fmt.Errorf("%w: %d bytes of white space", errFraming, r.blank)
	}
	return rest, nil
}

// skipLeading drops the white space that some devices send between messages, and
// a byte order mark, even one that is split.
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

// look scans bytes and returns those to hand on. It fails when they turn out to
// answer another request. The caller holds mu.
func (r *Reply) look(piece []byte) ([]byte, error) {
	r.came += int64(len(piece))
	out := r.scan.write(piece)
	if r.known {
		return out, nil
	}
	id := r.scan.reply.messageID
	if id != nil && r.q.id != "" && *id != r.q.id {
		return nil, fmt.Errorf("%w %q in the reply to %q", errForeign, clipText(*id, maxFact), r.q.id)
	}
	r.known = r.scan.addressed()
	return out, nil
}

// finish sets the end by what the bytes ended with.
func (r *Reply) finish(err error) {
	r.l.ended(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lend(r.scan.end())
	if r.end = io.EOF; err != errEnd {
		r.end = r.fault(err)
	}
}

// fault makes err one for the caller.
func (r *Reply) fault(err error) *Error {
	kind := kindOf(err, r.came > 0)
	return &Error{Kind: kind, Phase: PhaseRPC, Item: r.q.name, Pipelined: r.q.shared && pipelining(kind), Err: err}
}

// Read implements io.Reader.
func (r *Reply) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.handOn(func(b []byte) (int, error) { return copy(p, b), nil })
}

// WriteTo implements io.WriterTo, which spares io.Copy a buffer and a copy. While
// w.Write is at work, other calls of the session wait.
func (r *Reply) WriteTo(w io.Writer) (n int64, err error) {
	for {
		k, err := r.handOn(w.Write)
		n += int64(k)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// handOn gives the caller the next bytes, with the turn.
func (r *Reply) handOn(to func([]byte) (int, error)) (int, error) {
	if err := r.acquire(); err != nil {
		return 0, err
	}
	defer r.l.release()
	for len(r.cur) == 0 && r.end == nil {
		r.step()
	}
	if len(r.cur) == 0 {
		return 0, r.end
	}
	n, err := to(r.cur)
	r.cur = r.cur[n:]
	return n, err
}

// acquire waits for the turn, and only for it: what was read before the session
// ended can still be had.
func (r *Reply) acquire() error {
	select {
	case <-r.l.turn:
		return nil
	default:
	}
	select {
	case <-r.l.turn:
		return nil
	case <-r.ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fault(because(r.ctx))
	}
}

// Discard throws away what is left of the document without looking at it, so that
// the session is free for the next Call, and returns when it has come. Result then
// tells of what was read before.
func (r *Reply) Discard() error {
	if err := r.acquire(); err != nil {
		return err
	}
	defer r.l.release()
	if r.end != nil {
		return nil
	}
	if err := r.skip(r.ctx); err != nil {
		r.l.ended(err)
		return r.fault(err)
	}
	return nil
}

// skip throws the rest of the document away, but checks whom it answers. The
// caller has the turn.
func (r *Reply) skip(ctx context.Context) error {
	r.abandon()
	if r.came == 0 {
		r.l.pump.pace.restart()
	}
	for !r.known {
		piece, err := r.pull(ctx)
		if err == nil {
			err = r.glance(piece)
		}
		if done, err := r.skipped(err); done {
			return err
		}
	}
	r.span = nil
	for {
		_, err := r.l.spans(ctx)
		if done, err := r.skipped(err); done {
			return err
		}
	}
}

func (r *Reply) skipped(err error) (done bool, _ error) {
	if err == errEnd {
		r.l.ended(err)
		return true, nil
	}
	return err != nil, err
}

func (r *Reply) glance(piece []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.look(piece)
	return err
}

// abandon makes the caller's next Read fail.
func (r *Reply) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cur = nil
	if r.end == nil {
		r.end = &Error{Kind: KindClosed, Phase: PhaseRPC, Item: r.q.name, Err: errAbandoned}
	}
}

// Result tells what the document is, as far as it came. It is final once Read
// has returned an error; without io.EOF the outcome is Partial.
func (r *Reply) Result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := r.scan.result(r.end != io.EOF)
	if r.plain != nil && r.end == io.EOF {
		res.read(r.plain())
	}
	return res
}
