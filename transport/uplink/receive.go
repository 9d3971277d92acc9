package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"lwc/transport/wire"
)

// maxDesired bounds a desired configuration: 20,000 devices with their keys. On its
// way it has half of that at most: it compresses to less.
const maxDesired = 32 << 20

// Why a message is refused. The cloud's operator reads these.
var (
	errOtherCollector = errors.New("it is for another collector")
	errOtherBoot      = errors.New("it is for another boot of this collector")
	errNotNewer       = errors.New("its version is not newer than the one accepted before")
	errVersionClaim   = errors.New("its version is not the one that is signed")
	errExpired        = errors.New("it has expired")
	errKind           = errors.New("its kind is not known to this version")
	errNonce          = errors.New("it does not answer this connection's hello")
)

// advised adds to a refusal what an operator can do.
func advised(why error) error {
	switch {
	case errors.Is(why, wire.ErrSignature):
		return fmt.Errorf("%w: see who else may publish at the broker; if the cloud was set up anew, "+
			"empty the state folder and enrol with a new token", why)
	case errors.Is(why, errOtherBoot), errors.Is(why, errOtherCollector), errors.Is(why, errNotNewer), errors.Is(why, errNonce):
		return fmt.Errorf("%w: an old copy that came late needs nothing done; if it happens again, see who else may publish at the broker", why)
	}
	return why
}

// receiver judges what comes down, and hands over what is good. It outlives the
// sessions: what was accepted in a boot is remembered. One goroutine at a time
// uses it.
type receiver struct {
	u       *Uplink
	parts   wire.Assembler
	pieces  jobParts
	reports reports
}

func (r *receiver) init(u *Uplink) {
	*r = receiver{u: u, parts: wire.Assembler{MaxSize: maxDesired, MaxHeld: maxDesired / 2, Key: u.cfg.BootKey}}
}

// dispatch handles one message.
func (r *receiver) dispatch(s *session, m message) {
	id, dir, k, err := r.u.topics.Parse(m.topic)
	if err != nil || dir != wire.Down || id != r.u.cfg.Collector {
		r.log("topic", fmt.Errorf("a message on topic %.120q is not for this collector", m.topic))
		return
	}
	switch k {
	case wire.KindWelcome:
		err = r.welcomed(s, m.payload)
	case wire.KindDesired:
		err = r.desired(m.payload)
	case wire.KindReceipt:
		err = r.receipts(m.payload)
	case wire.KindNeed:
		err = r.need(s, m.payload)
	case wire.KindJob:
		err = r.job(m.payload)
	}
	if err != nil {
		r.log(string(k), fmt.Errorf("refusing a %s: %w", k, err))
	}
}

// log reports a refusal to the local log, each sort once a minute.
func (r *receiver) log(sort string, err error) {
	if r.reports.due("log " + sort) {
		r.u.log.Warn("a message from the broker is refused", "error", err)
	}
}

// addressed checks to whom a message is.
func (r *receiver) addressed(collector, boot string) error {
	switch {
	case collector != r.u.cfg.Collector:
		return errOtherCollector
	case boot != r.u.cfg.Boot:
		return errOtherBoot
	}
	return nil
}

// welcomed takes a welcome that answers the session's last hello.
func (r *receiver) welcomed(s *session, payload []byte) error {
	var w wire.Welcome
	if err := wire.Verify(wire.KindWelcome, payload, r.u.key, &w); err != nil {
		return advised(err)
	}
	if err := r.addressed(w.Collector, w.Boot); err != nil {
		return advised(err)
	}
	if !s.fresh(w.Nonce) {
		return advised(errNonce)
	}
	u := r.u
	u.offset.Store(int64(time.Until(w.Time)))
	u.mu.Lock()
	u.welcome, u.trouble = &w, nil
	last := u.state
	u.mu.Unlock()
	window := w.Limits.WindowBytes
	if window <= 0 {
		window = defaultWindow
	}
	u.cfg.Handler.Welcomed(w)
	if last != nil {
		u.SendState(*last)
	}
	u.events.again()
	u.out.anew()
	u.out.setWindow(window)
	return nil
}

// receipts ends the waiting of documents.
func (r *receiver) receipts(payload []byte) error {
	var m wire.Receipts
	if err := wire.Verify(wire.KindReceipt, payload, r.u.key, &m); err != nil {
		return err
	}
	if err := r.addressed(m.Collector, m.Boot); err != nil {
		return err
	}
	if m.WindowBytes > 0 {
		r.u.out.setWindow(m.WindowBytes)
	}
	for _, one := range m.Receipts {
		if !r.u.events.settle(one) {
			callAll(r.u.out.settle(one, time.Now()))
		}
	}
	return nil
}

// need sends again what the cloud misses.
func (r *receiver) need(s *session, payload []byte) error {
	var n wire.Need
	if err := wire.Verify(wire.KindNeed, payload, r.u.key, &n); err != nil {
		return err
	}
	if err := r.addressed(n.Collector, n.Boot); err != nil {
		return err
	}
	r.u.out.approved(n.Release)
	callAll(r.u.out.withhold(codeDeclined, n.Decline, ""))
	if len(n.IDs) > 0 {
		if gone := r.u.out.hurry(n.IDs); gone > 0 {
			r.u.log.Warn("the cloud asks for documents that it gave a receipt for", "run", n.Run, "documents", gone)
		}
	}
	switch n.Resync {
	case "hello":
		s.rehello.Store(true)
		r.u.poke()
	case "state":
		r.resendState()
	case "facts":
		r.u.out.anew()
	}
	return nil
}

func (r *receiver) resendState() {
	r.u.mu.Lock()
	last := r.u.state
	r.u.mu.Unlock()
	if last != nil {
		r.u.SendState(*last)
	}
}

// desired takes a frame of a desired configuration, and the whole once it is
// complete.
func (r *receiver) desired(payload []byte) error {
	h, body, err := wire.ParseFrame(payload)
	if err != nil {
		return r.rejected(wire.ConfigRef{}, err)
	}
	ref := wire.ConfigRef{SHA256: h.SHA256}
	if h.Type != wire.KindDesired {
		return r.rejected(ref, fmt.Errorf("a frame of type %q: %w", h.Type, wire.ErrFrame))
	}
	if err := r.addressed(h.Collector, h.Boot); err != nil {
		return r.rejected(ref, err)
	}
	if _, err := wire.VerifyHeader(h, r.u.key); err != nil {
		return r.rejected(ref, err)
	}
	whole, err := r.parts.Add(time.Now(), h, body)
	if err != nil {
		return r.rejected(ref, err)
	}
	if whole == nil {
		return nil
	}
	return r.judge(whole)
}

// judge decides on a whole configuration.
func (r *receiver) judge(w *wire.Whole) error {
	ref := wire.ConfigRef{SHA256: w.SHA256}
	version, err := wire.VerifyBody(w.Header, w.Plain, r.u.key)
	if err != nil {
		return r.rejected(ref, err)
	}
	ref.Version = version
	var d wire.Desired
	if err := json.Unmarshal(w.Plain, &d); err != nil {
		return r.rejected(ref, err)
	}
	if d.V != wire.Version {
		return r.rejected(ref, fmt.Errorf("protocol version %d, this side speaks %d: update the older side", d.V, wire.Version))
	}
	err = r.addressed(d.Collector, d.Boot)
	if err == nil && d.Version != version {
		err = errVersionClaim
	}
	if err != nil {
		return r.rejected(ref, err)
	}
	return r.accept(d, ref)
}

// accept hands a configuration over if it is newer than the last. The version
// that is held already, which QoS 1 may deliver twice, is answered with the
// state that it is in.
func (r *receiver) accept(d wire.Desired, ref wire.ConfigRef) error {
	u := r.u
	u.mu.Lock()
	held := u.accepted
	if ref.Version > held.Version {
		u.accepted, u.before = ref, held
	}
	u.mu.Unlock()
	switch {
	case ref.Version == held.Version && ref.Version > 0:
		r.resendState()
		return nil
	case ref.Version <= held.Version:
		return r.rejected(ref, fmt.Errorf("version %d, %d is held: %w", ref.Version, held.Version, errNotNewer))
	}
	u.cfg.Handler.Desired(d, ref)
	return nil
}

// rejected answers a configuration that is not acted on, and returns why.
func (r *receiver) rejected(ref wire.ConfigRef, why error) error {
	why = advised(why)
	if r.reports.due("desired") {
		text := "a desired configuration was refused, and nothing of it is used: " + why.Error()
		r.u.SendState(wire.State{Config: ref, Status: wire.ConfigRejected, Error: why.Error()})
		r.u.SendEvent(wire.Event{Kind: wire.EventConfigRejected, Text: text})
	}
	return why
}

// job takes a command.
func (r *receiver) job(payload []byte) error {
	var j wire.Job
	if err := wire.Verify(wire.KindJob, payload, r.u.key, &j); err != nil {
		return r.refusedJob(err)
	}
	// A job of another boot is not answered with a status: it may be an old copy
	// of one that this boot carries out.
	if err := errors.Join(r.addressed(j.Collector, j.Boot), wire.CheckID(j.ID)); err != nil {
		return r.refusedJob(err)
	}
	j, ready, err := r.pieces.join(j)
	if err != nil {
		return r.refusedJob(fmt.Errorf("job %s: %w", j.ID, err))
	}
	if !ready {
		return nil
	}
	if last, seen := r.u.jobs.meet(j.ID); seen {
		if last != nil {
			r.u.SendJobStatus(*last)
		}
		return nil
	}
	if err := r.usable(j); err != nil {
		r.u.SendJobStatus(wire.JobStatus{ID: j.ID, State: wire.JobRefused, Error: err.Error()})
		return r.refusedJob(fmt.Errorf("job %s: %w", j.ID, err))
	}
	r.u.cfg.Handler.Job(j)
	return nil
}

func (r *receiver) usable(j wire.Job) error {
	if !j.Expires.IsZero() && r.u.serverNow().After(j.Expires) {
		return errExpired
	}
	if !slices.Contains(wire.JobKinds(), j.Kind) {
		return fmt.Errorf("%.40q: %w", j.Kind, errKind)
	}
	return nil
}

// refusedJob reports a job that is not carried out, and returns why.
func (r *receiver) refusedJob(why error) error {
	why = advised(why)
	if r.reports.due("job") {
		r.u.SendEvent(wire.Event{Kind: wire.EventJobRefused, Text: "a job was refused: " + why.Error()})
	}
	return why
}
