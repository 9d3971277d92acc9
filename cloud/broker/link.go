package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	// inboxSize is above the number of unacknowledged messages that brokers
	// send (mosquitto 20, EMQX 32), so that the inbox is never full while
	// acknowledgements follow the receiver.
	inboxSize     = 256
	brokerSilence = 30 * time.Second // MQTT keepalive
)

// link is one connection to the broker. It is used once.
type link struct {
	client  paho.Client
	inbox   chan paho.Message
	deliver func(ctx context.Context, topic string, payload []byte)

	lost  chan struct{} // closed when the connection is gone
	once  sync.Once     // guards the close of lost, and why
	why   error
	mu    sync.Mutex // guards conns
	conns []net.Conn
}

// connect makes a link: TCP, TLS, CONNECT, SUBSCRIBE. Messages are delivered
// until run is cancelled.
func (x *External) connect(ctx, run context.Context) (*link, error) {
	l := &link{inbox: make(chan paho.Message, inboxSize), lost: make(chan struct{}), deliver: x.deliver}
	l.client = paho.NewClient(x.options(run, l))
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	if err := l.establish(ctx, "$share/"+x.cfg.Group+"/"+x.cfg.Topics.UpFilter()); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// options turns off everything that paho does by itself. Order stays on: the
// states of a configuration and of a job mean nothing out of order. The handler
// only fills the inbox, and messages are acknowledged after the receiver had
// them, so that the broker's own limit of unacknowledged messages bounds both.
func (x *External) options(run context.Context, l *link) *paho.ClientOptions {
	o := paho.NewClientOptions().AddBroker("ssl://" + x.addr).SetClientID(x.cfg.ClientID)
	o.SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetKeepAlive(brokerSilence).SetPingTimeout(10 * time.Second)
	o.SetConnectTimeout(dialTimeout).SetWriteTimeout(writeTimeout)
	o.SetOrderMatters(true).SetAutoAckDisabled(true)
	if x.cfg.Username != "" {
		o.SetUsername(x.cfg.Username).SetPassword(string(x.cfg.Password.Reveal()))
	}
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
		c, err := dialTLS(run, x.addr, x.cfg.TLS)
		if err == nil {
			l.own(c)
		}
		return c, err
	})
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { l.take(m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { l.fail(err) })
	return o
}

func (l *link) own(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
}

func (l *link) establish(ctx context.Context, filter string) error {
	if err := wait(ctx, l.client.Connect()); err != nil {
		return fmt.Errorf("connecting to the broker: %w", err)
	}
	t, ok := l.client.Subscribe(filter, 1, nil).(*paho.SubscribeToken)
	if !ok {
		return errors.New("subscribing at the broker: the client library changed")
	}
	if err := wait(ctx, t); err != nil {
		return fmt.Errorf("subscribing at the broker to %s: %w", filter, err)
	}
	for _, code := range t.Result() { // one; paho leaves $share/… out of its key
		if code > 1 { // 0x80 is no error of the token
			return fmt.Errorf("subscribing at the broker to %s: refused (code %#x): check its access list", filter, code)
		}
	}
	return nil
}

// wait waits for a token; paho's own Wait has no end.
func wait(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// take runs in paho's goroutine: it queues, in order.
func (l *link) take(m paho.Message) {
	select {
	case l.inbox <- m:
	case <-l.lost:
	}
}

// serve hands messages to the receiver until the link is lost or ctx cancelled.
func (l *link) serve(ctx context.Context) error {
	for {
		select {
		case m := <-l.inbox:
			if !m.Retained() {
				l.deliver(ctx, m.Topic(), m.Payload())
			}
			m.Ack()
		case <-l.lost:
			return l.why
		case <-ctx.Done():
			return nil
		}
	}
}

func (x *External) deliver(ctx context.Context, topic string, payload []byte) {
	select {
	case <-x.ready:
		x.handle(topic, payload)
	case <-ctx.Done():
	}
}

func (l *link) publish(ctx context.Context, topic string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	t := l.client.Publish(topic, 1, false, payload)
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return fmt.Errorf("%w: %w", err, ErrOffline)
		}
		return nil
	case <-l.lost:
		return ErrOffline
	case <-ctx.Done():
		return ErrSlow
	}
}

func (l *link) fail(err error) {
	l.once.Do(func() {
		l.why = err
		close(l.lost)
	})
}

// close says goodbye for a quarter of a second, then closes the connection.
func (l *link) close() {
	if l.client.IsConnectionOpen() {
		l.client.Disconnect(250)
	}
	l.fail(errors.New("closed"))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
}
