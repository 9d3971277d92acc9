package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos"
	"lwc/junos/junostest"
)

const (
	rawDelimiter = "]]>]]>"
	rawHello     = `<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities>` +
		`<capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>` + rawDelimiter
	patience = 5 * time.Minute // for one device
)

// raw is the yardstick: it connects, logs in, sends the requests and throws away
// what comes, and does nothing else.
type raw struct {
	rpcs  [][]byte
	depth int
}

func newRaw(o order) (*raw, error) {
	items, err := itemsOf(o.Items)
	if err != nil {
		return nil, err
	}
	r := &raw{depth: max(o.Depth, 1)}
	for i, it := range items {
		r.rpcs = append(r.rpcs, []byte(`<rpc xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" message-id="`+
			strconv.Itoa(i+1)+`">`+it.RPC()+`</rpc>`+rawDelimiter))
	}
	return r, nil
}

func itemsOf(names []string) ([]junos.Item, error) {
	var items []junos.Item
	for _, name := range names {
		it, ok := junos.Lookup(name)
		if !ok {
			return nil, fmt.Errorf("looking up %q: not an item of the catalogue", name)
		}
		items = append(items, it)
	}
	return items, nil
}

func (r *raw) collect(ctx context.Context, d junostest.InventoryHost) (received, sent int64, err error) {
	channel, done, err := rawDial(ctx, d)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	if _, err := io.WriteString(channel, rawHello); err != nil {
		return 0, 0, err
	}
	in := &rawReader{r: channel, buf: make([]byte, 64<<10)}
	if err := in.message(); err != nil { // the hello
		return 0, 0, err
	}
	for asked, got := 0, 0; got < len(r.rpcs); got++ {
		for ; asked < len(r.rpcs) && asked < got+r.depth; asked++ {
			if _, err := channel.Write(r.rpcs[asked]); err != nil {
				return in.total, 0, err
			}
		}
		if err := in.message(); err != nil {
			return in.total, 0, err
		}
	}
	return in.total, 0, nil
}

func rawDial(ctx context.Context, d junostest.InventoryHost) (ssh.Channel, func(), error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(d.HostKey))
	if err != nil {
		return nil, nil, err
	}
	var dialer net.Dialer
	addr := net.JoinHostPort(d.Address, strconv.Itoa(int(d.Port)))
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{User: d.Username,
		Auth: []ssh.AuthMethod{ssh.Password(d.Password)}, HostKeyCallback: ssh.FixedHostKey(key),
		HostKeyAlgorithms: []string{key.Type()}})
	if err != nil {
		return nil, nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	channel, reqs, err := client.OpenChannel("session", nil)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	go ssh.DiscardRequests(reqs)
	ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"netconf"}))
	if err != nil || !ok {
		client.Close()
		return nil, nil, fmt.Errorf("asking for the subsystem: %v, %w", ok, err)
	}
	return channel, func() { client.Close() }, nil
}

// rawReader finds the ends of messages; what is after one belongs to the next.
type rawReader struct {
	r     io.Reader
	buf   []byte
	have  []byte // unread part of buf
	total int64
}

// message reads to the end of one message and throws it away. It may hold back
// the beginning of a delimiter, as any correct reader must.
func (r *rawReader) message() error {
	for {
		if i := bytes.Index(r.have, []byte(rawDelimiter)); i >= 0 {
			r.total += int64(i)
			r.have = r.have[i+len(rawDelimiter):]
			return nil
		}
		keep := min(len(r.have), len(rawDelimiter)-1)
		r.total += int64(len(r.have) - keep)
		copy(r.buf, r.have[len(r.have)-keep:])
		n, err := r.r.Read(r.buf[keep:])
		r.have = r.buf[:keep+n]
		if err != nil && n == 0 {
			return err
		}
	}
}
