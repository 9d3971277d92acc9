package uplink

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lwc/transport/wire"
)

const (
	// keepAlive makes the broker send the will within half a minute of a dead
	// line. This end asks sooner (see pulse), which keeps NAT entries alive too.
	keepAlive = 20 * time.Second
	// maxInbox and maxInboxBytes bound what came and was not looked at yet. The
	// library starts a goroutine for each message, so that nothing else does.
	maxInbox      = 1024
	maxInboxBytes = 32 << 20
	// maxInflight is how many messages the broker may owe an acknowledgement.
	maxInflight = 64
)

// errUnanswered says that a connection was made and its hello not answered.
var errUnanswered = errors.New("the hello was not answered: the broker does not carry messages between this collector and the cloud, or the cloud does not know it")

// session is one connection. It is made by Uplink.session and used by the
// goroutines that this starts.
type session struct {
	u      *Uplink
	conn   *packetConn
	client mqtt.Client
	seq    uint64 // of this connection in this boot

	inbox      chan message
	inboxBytes atomic.Int64
	fail       context.CancelCauseFunc // ends the session

	mu    sync.Mutex // guards nonce: a resync makes a new one
	nonce []byte

	rehello atomic.Bool // the cloud asks for another hello

	// Used by one sender at a time.
	owed    []flight // sent and not acknowledged
	stalled bool     // the last message may be in the middle of its writing
}

// message is one that came down.
type message struct {
	topic   string
	payload []byte
}

// flight is a message that the broker has not acknowledged.
type flight struct {
	token  mqtt.Token
	notice *notice // given back if the acknowledgement never comes
}

// session makes a connection and serves it until it breaks or ctx ends. It
// returns how long it lasted from the welcome on, 0 if none came.
func (u *Uplink) session(ctx context.Context, r *rung) (lived time.Duration, err error) {
	ep := r.ep
	conn, err := u.dial(ctx, ep)
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	sctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s := &session{u: u, conn: conn, seq: u.conns.Add(1), fail: fail, inbox: make(chan message, maxInbox)}
	conn.broken = func(err error) { fail(err) }
	defer s.close()
	// Nothing that waits for the broker outlives the session.
	stop := context.AfterFunc(sctx, func() {
		if ctx.Err() == nil {
			conn.Close()
		}
	})
	defer stop()
	wg.Go(func() {
		if err := conn.watch(sctx, r.patience(u.time.silence)); err != nil {
			fail(err)
		}
	})
	if err := s.open(sctx); err != nil {
		id := u.identity()
		return 0, fmt.Errorf("opening a session at %s: %w", ep.Host, id.doubt(err, time.Now()))
	}
	up := time.Now()
	u.log.Info("connected", "kind", ep.Kind, "endpoint", ep.Host, "connection", s.seq)
	err = s.serve(sctx)
	if ctx.Err() != nil {
		s.farewell(context.WithoutCancel(ctx))
	}
	return max(time.Since(up), 1), fmt.Errorf("the session at %s: %w", ep.Host, err)
}

// open connects, subscribes, says hello and waits for the welcome.
func (s *session) open(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.u.time.welcome, errUnanswered)
	defer cancel()
	if err := s.hello(ctx); err != nil {
		return err
	}
	return s.awaitWelcome(ctx)
}

func (s *session) options() (*mqtt.ClientOptions, error) {
	bye, err := json.Marshal(s.bye(false))
	if err != nil {
		return nil, fmt.Errorf("encoding the will: %w", err)
	}
	o := mqtt.NewClientOptions()
	// The connection exists already; the library wants an address all the same.
	o.AddBroker("tcp://" + s.conn.RemoteAddr().String())
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return s.conn, nil })
	o.SetClientID(s.u.cfg.Collector)
	o.SetProtocolVersion(4)
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetOrderMatters(false)
	o.SetConnectTimeout(s.u.time.answer)
	o.SetWriteTimeout(s.u.time.write)
	o.SetKeepAlive(keepAlive)
	o.SetPingTimeout(keepAlive / 2)
	o.SetBinaryWill(s.u.topic(wire.Up, wire.KindBye), bye, 1, false)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.arrived(m.Topic(), m.Payload()) })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.fail(fmt.Errorf("the connection was lost: %w", err)) })
	return o, nil
}

func (s *session) connect(ctx context.Context) error {
	o, err := s.options()
	if err != nil {
		return err
	}
	s.client = mqtt.NewClient(o)
	if err := s.await(ctx, s.client.Connect()); err != nil {
		return fmt.Errorf("the broker did not accept the connection (is this collector revoked?): %w", err)
	}
	return nil
}

// subscribe makes the one subscription. A refusal is a code in the SUBACK, not
// an error of the library.
func (s *session) subscribe(ctx context.Context) error {
	filter := s.u.topics.DownFilter(s.u.cfg.Collector)
	ctx, cancel := context.WithTimeout(ctx, s.u.time.answer)
	defer cancel()
	token := s.client.Subscribe(filter, 1, nil)
	if err := s.await(ctx, token); err != nil {
		return fmt.Errorf("subscribing to %s: %w", filter, err)
	}
	sub, ok := token.(*mqtt.SubscribeToken)
	if !ok {
		return fmt.Errorf("subscribing to %s: an unexpected token %T", filter, token)
	}
	if code, ok := sub.Result()[filter]; !ok || code > 1 {
		return fmt.Errorf("subscribing to %s: the broker refused it (code %#x): its access list must let this collector read there", filter, code)
	}
	return nil
}

// hello sends a hello with a new nonce.
func (s *session) hello(ctx context.Context) error {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	s.mu.Lock()
	s.nonce = nonce
	s.mu.Unlock()
	u := s.u
	u.mu.Lock()
	h := wire.Hello{V: wire.Version, Collector: u.cfg.Collector, Boot: u.cfg.Boot, Conn: s.seq,
		Firmware: u.cfg.Firmware, BootKey: u.cfg.BootKey.Public(), Capabilities: u.cfg.Capabilities,
		Config: u.applied, Nonce: nonce, Clock: time.Now().UTC(), LastManifest: u.manifest}
	u.mu.Unlock()
	h.Ports = u.cfg.Ports()
	if u.cfg.Box != nil {
		h.Box = u.cfg.Box()
	}
	return s.signed(ctx, wire.KindHello, h, nil)
}

// fresh tells whether a welcome answers the last hello of this connection.
func (s *session) fresh(nonce []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.nonce) > 0 && bytes.Equal(nonce, s.nonce)
}

// arrived is called by the library, in a goroutine for each message.
func (s *session) arrived(topic string, payload []byte) {
	if s.inboxBytes.Add(int64(len(payload))) <= maxInboxBytes {
		select {
		case s.inbox <- message{topic, payload}:
			return
		default:
		}
	}
	s.fail(errors.New("the broker sends faster than this collector can read"))
}

// take returns the next message.
func (s *session) take(ctx context.Context) (message, error) {
	select {
	case m := <-s.inbox:
		s.inboxBytes.Add(-int64(len(m.payload)))
		return m, nil
	case <-ctx.Done():
		return message{}, context.Cause(ctx)
	}
}

// awaitWelcome reads until the welcome came. What the broker delivers before it
// is kept, and looked at afterwards. A welcome that is refused may be another's:
// the true one is waited for, and the refusal told only if none comes.
func (s *session) awaitWelcome(ctx context.Context) error {
	var early []message
	var refused error
	held := 0
	for {
		m, err := s.take(ctx)
		if errors.Is(err, errUnanswered) && refused != nil {
			err = fmt.Errorf("the one that came is refused: %w", refused)
		}
		if err != nil {
			return fmt.Errorf("waiting for the welcome: %w", err)
		}
		if _, _, k, err := s.u.topics.Parse(m.topic); err != nil || k != wire.KindWelcome {
			if held += len(m.payload); len(early) < maxInbox && held < maxInboxBytes {
				early = append(early, m)
			}
			continue
		}
		if refused = s.u.inbox.welcomed(s, m.payload); refused != nil {
			continue
		}
		for _, m := range early {
			s.u.inbox.dispatch(s, m)
		}
		return nil
	}
}

// serve receives and sends until the session fails or ctx ends.
func (s *session) serve(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.sendAll(ctx); err != nil {
			s.fail(err)
		}
	})
	for {
		m, err := s.take(ctx)
		if err != nil {
			wg.Wait()
			return err
		}
		s.u.inbox.dispatch(s, m)
	}
}

func (s *session) bye(clean bool) wire.Bye {
	return wire.Bye{V: wire.Version, Collector: s.u.cfg.Collector, Boot: s.u.cfg.Boot, Conn: s.seq, Clean: clean}
}

// farewell sends what is left to say, then bye.
func (s *session) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.u.time.farewell)
	defer cancel()
	err := s.settleWrite(ctx)
	if err == nil {
		err = s.sendNotices(ctx)
	}
	if err == nil {
		_, err = s.sendEvents(ctx)
	}
	if err == nil {
		err = s.plain(ctx, wire.KindBye, s.bye(true))
	}
	for len(s.owed) > 0 && err == nil {
		err = s.reap(ctx)
	}
	if err != nil {
		s.u.log.Warn("the leave-taking did not reach the broker", "error", err)
	}
}

// close ends the connection. Notices that the broker did not acknowledge are
// kept for the next one.
func (s *session) close() {
	if s.client != nil {
		s.client.Disconnect(uint((250 * time.Millisecond).Milliseconds()))
	}
	s.conn.Close()
	var back []notice
	for _, f := range s.owed {
		if f.notice != nil && !acknowledged(f.token) {
			back = append(back, *f.notice)
		}
	}
	s.u.notices.back(back)
}

// await waits for a token, never without a bound: it ends with ctx.
func (s *session) await(ctx context.Context, t mqtt.Token) error {
	select {
	case <-t.Done():
		if err := context.Cause(ctx); t.Error() != nil && err != nil {
			return err // the true reason; the token only knows that it is over
		}
		return t.Error()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func acknowledged(t mqtt.Token) bool {
	select {
	case <-t.Done():
		return t.Error() == nil
	default:
		return false
	}
}
