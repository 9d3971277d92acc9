package uplink

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lwc/transport/wire"
)

// published publishes a document and counts the calls of its done function.
func published(t *testing.T, u *Uplink, h wire.Header, plain []byte) (<-chan wire.Receipt, *atomic.Int64) {
	t.Helper()
	got, sent := make(chan wire.Receipt, 8), new(atomic.Int64)
	told := func(d wire.Delivery) { sent.Store(d.Sent); got <- d.Receipt }
	l, err := u.Lane(t.Context(), h.Run, h.Device, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.SHA256, h.Size = wire.Digest(plain), int64(len(plain))
	if len(plain) <= SmallDocument {
		err = l.Add(t.Context(), h, plain, false, told)
	} else {
		var s *Stream
		if s, err = l.Stream(t.Context(), h, false); err == nil {
			s.Write(plain)
			err = s.Commit(h, told)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return got, sent
}

func doc(id string) wire.Header {
	return wire.Header{ID: id, Run: wire.NewID(), Device: "edge-1", Item: "show-version", CollectedAt: time.Now()}
}

// noise does not compress, so that it has as many parts as its size says.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestDocumentsArriveAndAreDoneOnce(t *testing.T) {
	s := newSite(t)
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	start(t, u)
	for _, plain := range [][]byte{[]byte("<rpc-reply>one</rpc-reply>\n"), noise(500 << 10), {}} {
		id := wire.NewID()
		got, sent := published(t, u, doc(id), plain)
		w := wait(t, s.cloud.whole, "the document at the cloud")
		if w.ID != id || !bytes.Equal(w.Plain, plain) || w.Collector != collectorID || w.Boot != u.Boot() || w.Device != "edge-1" {
			t.Fatalf("the cloud got %+v with %d bytes", w.Header, len(w.Plain))
		}
		if r := wait(t, got, "its receipt"); r.Status != wire.Stored {
			t.Fatalf("the receipt says %+v", r)
		}
		if sent.Load() < int64(len(plain))/2 || u.QueueBytes() != 0 {
			t.Errorf("sent %d bytes of %d, %d are queued", sent.Load(), len(plain), u.QueueBytes())
		}
		// The same receipt again changes nothing.
		s.cloud.receipt(wire.Receipt{ID: id, Status: wire.Stored}, s.config)
		fence(t, s, u)
		none(t, got, "done was called twice")
	}
}

// fence returns once everything that the cloud sent before has been looked at:
// it makes the collector answer a resync with its state.
func fence(t *testing.T, s *site, u *Uplink) {
	t.Helper()
	token := wire.NewID()
	j := wire.Job{V: wire.Version, ID: token, Collector: collectorID, Boot: u.Boot(), Kind: wire.JobProbe,
		Expires: time.Now().Add(time.Minute)}
	s.cloud.send(wire.KindJob, j, s.config)
	for {
		if got := wait(t, u.cfg.Handler.(*recorder).jobs, "the fence"); got.ID == token {
			return
		}
	}
}

func TestHelloIsSignedAndTellsTheBoot(t *testing.T) {
	s := newSite(t)
	id := identityOf(s.ca, s.pub, s.broker)
	u := newUplink(t, id, newRecorder())
	start(t, u)
	var h wire.Hello
	if err := wire.Verify(wire.KindHello, wait(t, s.cloud.signed, "hello"), id.Key.Public(), &h); err != nil {
		t.Fatal(err)
	}
	if h.Boot != u.Boot() || h.Conn != 1 || len(h.Nonce) != 16 || !bytes.Equal(h.BootKey, u.cfg.BootKey.Public()) || h.Firmware != "test" {
		t.Fatalf("hello is %+v", h)
	}
}

func TestCutInMidFlightSendsTheSameIDAgain(t *testing.T) {
	s := newSite(t)
	p := newProxy(t, s.broker)
	s.cloud.receipts.Store(false)
	u := newUplink(t, identityOf(s.ca, s.pub, p.addr), newRecorder())
	p.limit.Store(300 << 10) // the line dies in the third of five frames
	start(t, u)
	id, plain := wire.NewID(), noise(500<<10)
	got, _ := published(t, u, doc(id), plain)
	bye := wait(t, s.cloud.byes, "the will of the first connection")
	if bye.Clean || bye.Conn != 1 || bye.Boot != u.Boot() {
		t.Fatalf("the will says %+v", bye)
	}
	w := wait(t, s.cloud.whole, "the document over the second connection")
	if w.ID != id || !bytes.Equal(w.Plain, plain) {
		t.Fatalf("the cloud got %+v", w.Header)
	}
	none(t, got, "done before the receipt")
	// It is sent once more when the next line dies, because no receipt came.
	p.cut()
	if w := wait(t, s.cloud.whole, "the document over the third connection"); w.ID != id {
		t.Fatalf("the cloud got %+v", w.Header)
	}
	s.cloud.receipt(wire.Receipt{ID: id, Status: wire.Duplicate}, s.config)
	if r := wait(t, got, "the receipt"); r.Status != wire.Duplicate {
		t.Fatalf("the receipt says %+v", r)
	}
	fence(t, s, u)
	none(t, got, "done was called twice")
}

func TestForgedReceiptsChangeNothing(t *testing.T) {
	s := newSite(t)
	s.cloud.receipts.Store(false)
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	start(t, u)
	id := wire.NewID()
	got, _ := published(t, u, doc(id), []byte("<x/>"))
	wait(t, s.cloud.whole, "the document")
	other, _ := configSigner(t)
	s.cloud.receipt(wire.Receipt{ID: id, Status: wire.Stored}, other)
	s.cloud.raw(wire.KindReceipt, []byte(`{"v":1,"receipts":[{"id":"`+id+`","status":"stored"}]}`))
	for _, to := range []wire.Receipts{
		{Collector: collectorID, Boot: wire.NewID()}, {Collector: "another-collector", Boot: u.Boot()},
	} {
		to.V, to.Receipts = wire.Version, []wire.Receipt{{ID: id, Status: wire.Stored}}
		s.cloud.send(wire.KindReceipt, to, s.config)
	}
	fence(t, s, u)
	none(t, got, "a forged receipt counted")
	if u.QueueBytes() == 0 {
		t.Fatal("a forged receipt emptied the queue")
	}
	s.cloud.receipt(wire.Receipt{ID: id, Status: wire.Stored}, s.config)
	wait(t, got, "the true receipt")
}

func TestMissingWelcomeLeadsToTheNextEndpoint(t *testing.T) {
	s := newSite(t)
	s.cloud.answer.Store(false)
	first, second := newProxy(t, s.broker), newProxy(t, s.broker)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, first.addr, second.addr), rec)
	u.time.welcome = 500 * time.Millisecond
	start(t, u)
	h := wait(t, s.cloud.hellos, "hello at the first endpoint")
	// Neither a welcome of another key nor one with another nonce counts.
	other, _ := configSigner(t)
	s.cloud.welcome(h, other)
	h.Nonce = noise(16)
	s.cloud.welcome(h, s.config)
	h = wait(t, s.cloud.hellos, "hello at the second endpoint")
	if h.Conn != 2 || second.dials.Load() != 1 {
		t.Fatalf("connection %d, the second endpoint was dialled %d times", h.Conn, second.dials.Load())
	}
	if err := u.Trouble(); err == nil {
		t.Error("there is no session, and no reason is told")
	}
	none(t, rec.welcomed, "a bad welcome counted")
	s.cloud.welcome(h, s.config)
	wait(t, rec.welcomed, "the welcome")
	if err := u.Trouble(); err != nil {
		t.Errorf("there is a session: %v", err)
	}
}

func TestBrokerOfAnotherAuthorityIsRefused(t *testing.T) {
	s := newSite(t)
	id := identityOf(s.ca, s.pub, s.broker)
	id.CA = identityOf(newAuthority(t, "another"), s.pub).CA
	u := newUplink(t, id, newRecorder())
	_, err := u.session(t.Context(), &rung{ep: id.Bootstrap.Endpoints[0]})
	if err == nil || !strings.Contains(err.Error(), "unknown authority") || !strings.Contains(err.Error(), "enrol with a new token") {
		t.Fatalf("the session ended with %v", err)
	}
}

func TestRefusedWelcomeIsTheReasonGiven(t *testing.T) {
	s := newSite(t)
	s.cloud.answer.Store(false)
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	u.time.welcome = 500 * time.Millisecond
	ended := make(chan error, 1)
	go func() {
		_, err := u.session(t.Context(), &rung{ep: u.cfg.Bootstrap.Endpoints[0]})
		ended <- err
	}()
	another, _ := configSigner(t)
	s.cloud.welcome(wait(t, s.cloud.hellos, "hello"), another)
	err := wait(t, ended, "the end of the session")
	if !errors.Is(err, wire.ErrSignature) || !strings.Contains(err.Error(), "enrol with a new token") {
		t.Fatalf("the session ended with %v", err)
	}
}

func TestRejectionsRetriedAndFinal(t *testing.T) {
	s := newSite(t)
	s.cloud.receipts.Store(false)
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	u.out.resend, u.out.resendMax = 50*time.Millisecond, 50*time.Millisecond
	start(t, u)
	id := wire.NewID()
	got, _ := published(t, u, doc(id), []byte("<x/>"))
	wait(t, s.cloud.whole, "the document")
	s.cloud.receipt(wire.Receipt{ID: id, Status: wire.Rejected, Code: "busy", Retryable: true}, s.config)
	wait(t, s.cloud.whole, "the document again")
	none(t, got, "a retryable rejection ended the document")
	s.cloud.receipt(wire.Receipt{ID: id, Status: wire.Rejected, Code: "hash"}, s.config)
	if r := wait(t, got, "the final rejection"); r.Code != "hash" || u.QueueBytes() != 0 {
		t.Fatalf("the receipt says %+v, %d bytes are queued", r, u.QueueBytes())
	}
}

func TestNeedSendsAgainAtOnce(t *testing.T) {
	s := newSite(t)
	s.cloud.receipts.Store(false)
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	start(t, u)
	id := wire.NewID()
	published(t, u, doc(id), []byte("<x/>"))
	wait(t, s.cloud.whole, "the document")
	n := wire.Need{V: wire.Version, Collector: collectorID, Boot: u.Boot(), IDs: []string{id, wire.NewID()}}
	s.cloud.send(wire.KindNeed, n, s.config)
	if w := wait(t, s.cloud.whole, "the document that is needed"); w.ID != id {
		t.Fatalf("the cloud got %s, not %s", w.ID, id)
	}
	n = wire.Need{V: wire.Version, Collector: collectorID, Boot: u.Boot(), Resync: "facts"}
	s.cloud.send(wire.KindNeed, n, s.config)
	wait(t, s.cloud.whole, "all documents")
	wait(t, s.cloud.hellos, "the first hello")
	n.Resync = "hello"
	s.cloud.send(wire.KindNeed, n, s.config)
	if h := wait(t, s.cloud.hellos, "the hello asked for"); h.Conn != 1 {
		t.Fatalf("the hello is of connection %d", h.Conn)
	}
}

func TestManifestIsSignedChainedAndDoneWhenComplete(t *testing.T) {
	s := newSite(t)
	id := identityOf(s.ca, s.pub, s.broker)
	rec := newRecorder()
	u := newUplink(t, id, rec)
	if _, err := u.PublishRun(t.Context(), wire.Manifest{}, nil); !errors.Is(err, ErrNoWelcome) {
		t.Fatalf("before the welcome: %v", err)
	}
	start(t, u)
	wait(t, rec.welcomed, "welcome")
	prev := "before" // what the welcome says
	for range 2 {
		got := make(chan wire.Receipt, 1)
		hash, err := u.PublishRun(t.Context(), wire.Manifest{Run: wire.NewID()}, func(r wire.Receipt) { got <- r })
		if err != nil {
			t.Fatal(err)
		}
		w := wait(t, s.cloud.whole, "the manifest")
		if _, err := wire.VerifyBody(w.Header, w.Plain, id.Key.Public()); err != nil || w.Type != wire.KindRun || w.SHA256 != hash {
			t.Fatalf("the manifest (%s, hash %s, want %s): %v", w.Type, w.SHA256, hash, err)
		}
		var m wire.Manifest
		if err := wire.Decode(wire.KindRun, w.Plain, &m); err != nil || m.Previous != prev || m.Boot != u.Boot() {
			t.Fatalf("the manifest is %+v: %v", m, err)
		}
		if r := wait(t, got, "the receipt"); r.Status != wire.Complete {
			t.Fatalf("the receipt says %+v", r)
		}
		prev = hash
	}
}

func TestCleanStopSaysByeAndLeavesNoWill(t *testing.T) {
	s := newSite(t)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	stop := start(t, u)
	wait(t, rec.welcomed, "welcome")
	u.SendEvent(wire.Event{Kind: wire.EventClockStep, Text: "last words"})
	stop()
	if e := wait(t, s.cloud.events, "the last event"); e.Text != "last words" {
		t.Fatalf("the event says %+v", e)
	}
	if b := wait(t, s.cloud.byes, "bye"); !b.Clean || b.Conn != 1 {
		t.Fatalf("bye says %+v", b)
	}
	// A second boot of the same id: whatever the broker had to say of the first
	// has come by the time the second is welcomed.
	rec2 := newRecorder()
	u2 := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec2)
	start(t, u2)
	wait(t, rec2.welcomed, "welcome of the second boot")
	none(t, s.cloud.byes, "a will after a clean stop")
}

func TestNoticesWaitForTheConnection(t *testing.T) {
	s := newSite(t)
	id := identityOf(s.ca, s.pub, s.broker)
	u := newUplink(t, id, newRecorder())
	u.SendEvent(wire.Event{Kind: wire.EventUnknownItem, Text: "early"})
	u.SendState(wire.State{Status: wire.ConfigApplied, Config: wire.ConfigRef{Version: 3}})
	u.SendJobStatus(wire.JobStatus{ID: "job", State: wire.JobDone})
	start(t, u)
	if e := wait(t, s.cloud.events, "the event"); e.Text != "early" || e.Boot != u.Boot() || e.Time.IsZero() {
		t.Fatalf("the event is %+v", e)
	}
	var st wire.State
	if err := wire.Verify(wire.KindState, wait(t, s.cloud.states, "the state"), id.Key.Public(), &st); err != nil || st.Config.Version != 3 {
		t.Fatalf("the state is %+v: %v", st, err)
	}
	var j wire.JobStatus
	if err := wire.Verify(wire.KindJob, wait(t, s.cloud.jobs, "the job's status"), id.Key.Public(), &j); err != nil || j.State != wire.JobDone {
		t.Fatalf("the status is %+v: %v", j, err)
	}
	if h := wait(t, s.cloud.health, "the heartbeat after the welcome"); h.Collector != collectorID || h.Boot != u.Boot() {
		t.Fatalf("the heartbeat is %+v", h)
	}
}

func TestHeartbeatKeepsToTheWelcome(t *testing.T) {
	s := newSite(t)
	s.cloud.limits.HeartbeatSeconds = 1
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	start(t, u)
	first := wait(t, s.cloud.health, "the first heartbeat")
	second := wait(t, s.cloud.health, "the second heartbeat")
	if d := second.Time.Sub(first.Time); d < 900*time.Millisecond || d > 5*time.Second {
		t.Fatalf("%v between two heartbeats", d)
	}
}
