package netguardtest

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// MaxAnswers is how many answers a Report spells out; all are counted.
const MaxAnswers = 100

// settleTime is how long an answer to the last probe may take on a neighbouring
// link; the kernel limits how often it sends some of them, not how late.
const settleTime = time.Second

// paceFrames is after how many probes the scanner reads all answers, a fraction
// of what the ring holds.
const paceFrames = ringFrames / 8

// Report is what a scan sent and what came back.
type Report struct {
	Target netip.Addr
	MAC    net.HardwareAddr // at which the target was probed
	// Sent counts the probes of each technique.
	Sent map[string]int
	// Answers says in words, in order, what came back: all but the answers to the
	// question who has the target's address. At most MaxAnswers.
	Answers []string
	// Answered counts all of them.
	Answered int
	Took     time.Duration
}

// String returns one line.
func (r Report) String() string {
	total := 0
	for _, n := range r.Sent {
		total += n
	}
	s := fmt.Sprintf("%s: %d probes of %d kinds in %.1f s, %d answers", r.Target, total, len(r.Sent), r.Took.Seconds(), r.Answered)
	if r.Answered > 0 {
		s += ": " + strings.Join(r.Answers[:min(len(r.Answers), 5)], "; ")
	}
	return s
}

// scanner is a scan under way.
type scanner struct {
	*tap
	own          net.HardwareAddr
	from, target netip.Addr
	owned        bool // from is an address of this host, whose kernel speaks for it

	resolved chan net.HardwareAddr

	mu     sync.Mutex // guards what follows
	mac    net.HardwareAddr
	report Report
}

// Scan probes target from a neighbour of it, on the link iface of the calling
// thread's namespace, and reports everything that came back: TCP to all ports
// (SYN, ACK, FIN, NULL, Xmas), UDP to all ports, SCTP INIT, every other IP
// protocol, GRE among them, ICMP echo, timestamp and the like. It takes some
// seconds. The caller must have locked the goroutine to its thread if that lives
// in another namespace than the process.
//
// from is the address that probes come from. It may be one of the host, or
// another one of the subnet that no host has, which is better: any frame to it
// is an answer then. mac is the hardware address of the target, or of the
// gateway towards it; nil asks for it with ARP or neighbour discovery, and no
// answer to that is an error. The error is about sending and receiving alone: a
// target that answers is not one.
//
// With ErrDropped the report holds what was seen.
func Scan(ctx context.Context, iface string, from, target netip.Addr, mac net.HardwareAddr) (Report, error) {
	start := time.Now()
	s, err := newScanner(iface, from, target)
	if err != nil {
		return Report{}, fmt.Errorf("scanning %s: %w", target, err)
	}
	err = s.run(ctx, mac)
	if closeErr := s.close(); err == nil {
		err = closeErr
	}
	s.report.Took = time.Since(start)
	if err != nil {
		return s.report, fmt.Errorf("scanning %s: %w", target, err)
	}
	return s.report, nil
}

func newScanner(iface string, from, target netip.Addr) (*scanner, error) {
	link, err := linkHere(iface)
	if err != nil {
		return nil, err
	}
	s := &scanner{own: link.HardwareAddr, from: from, target: target, resolved: make(chan net.HardwareAddr, 1),
		report: Report{Target: target, Sent: map[string]int{}}}
	if from.Is4() != target.Is4() {
		return nil, fmt.Errorf("%s and %s are of two families", from, target)
	}
	addrs, err := link.Addrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		s.owned = s.owned || err == nil && p.Addr() == from
	}
	if s.tap, err = openTap(link.Index); err != nil {
		return nil, err
	}
	if err := s.listen(link.Index, s.see); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *scanner) run(ctx context.Context, mac net.HardwareAddr) (err error) {
	asked := mac == nil
	if asked {
		if mac, err = s.resolve(ctx, resolveTries); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.mac, s.report.MAC = mac, mac
	s.mu.Unlock()
	sent := 0
	for kind, p := range probes(s.from, s.target) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.send(p.Frame(mac, s.own)); err != nil {
			return err
		}
		s.report.Sent[kind]++
		if sent++; sent%paceFrames == 0 {
			if err := s.catchUp(ctx); err != nil {
				return err
			}
		}
	}
	if asked {
		if err := s.fence(ctx); err != nil {
			return err
		}
	}
	return pause(ctx, settleTime)
}

// fence waits until the target has seen all probes: it answers a question that is
// asked after them. An emulated one needs a minute for what is sent in seconds.
func (s *scanner) fence(ctx context.Context) error {
	select {
	case <-s.resolved: // of an earlier question
	default:
	}
	if _, err := s.resolve(ctx, fenceTries); err != nil {
		return fmt.Errorf("waiting until the last probe has arrived: %w", err)
	}
	return nil
}

// catchUp waits until all answers so far are read: a busy machine answers faster
// than it lets us read, and what does not fit into the ring is lost.
func (s *scanner) catchUp(ctx context.Context) error {
	for !s.idle.Load() {
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for what may still come.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// How often the target is asked for its hardware address, once a second (RFC 4861:
// RETRANS_TIMER): before the probes, and after them.
const (
	resolveTries = 3
	fenceTries   = 120
)

// resolve asks for the hardware address of the target.
func (s *scanner) resolve(ctx context.Context, tries int) (net.HardwareAddr, error) {
	question := Solicitation
	if s.target.Is4() {
		question = ARPRequest
	}
	for range tries {
		if err := s.send(question(s.own, s.from, s.target)); err != nil {
			return nil, err
		}
		select {
		case mac := <-s.resolved:
			return mac, nil
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("nobody answers for that address on this link")
}

// The probes come from these ports, one for each technique. They lie above the
// ephemeral ports (net.ipv4.ip_local_port_range), so that no connection of the
// host has one of them.
const (
	firstScanPort = 61001
	lastScanPort  = 61007
	echoID        = 0x4c57
)

// tcpScans are the flags of each technique.
var tcpScans = []struct {
	kind  string
	flags byte
}{{"tcp syn", SYN}, {"tcp ack", ACK}, {"tcp fin", FIN}, {"tcp null", 0}, {"tcp xmas", FIN | PSH | URG}}

// probes are all packets of a scan, the quickest to be answered last.
func probes(from, target netip.Addr) iter.Seq2[string, Packet] {
	return func(yield func(string, Packet) bool) {
		source := func(i int) netip.AddrPort { return netip.AddrPortFrom(from, uint16(firstScanPort+i)) }
		for i, scan := range tcpScans {
			for port := 1; port <= 0xffff; port++ {
				if !yield(scan.kind, TCP(source(i), netip.AddrPortFrom(target, uint16(port)), scan.flags, nil)) {
					return
				}
			}
		}
		for port := 1; port <= 0xffff; port++ {
			if !yield("udp", UDP(source(len(tcpScans)), netip.AddrPortFrom(target, uint16(port)), []byte("lwc scan"))) {
				return
			}
		}
		for port := 1; port <= 1024; port++ {
			if !yield("sctp init", SCTPInit(source(len(tcpScans)+1), netip.AddrPortFrom(target, uint16(port)))) {
				return
			}
		}
		for kind, p := range otherProbes(from, target) {
			if !yield(kind, p) {
				return
			}
		}
	}
}

// otherProbes are those that have no ports.
func otherProbes(from, target netip.Addr) iter.Seq2[string, Packet] {
	return func(yield func(string, Packet) bool) {
		echo := Echo(from, target, echoID, []byte("lwc scan"))
		bare := ICMP(from, target, []byte{128, 0, 0, 0, 0, 0, 0, 0})
		messages := []byte{8, 10, 13, 15, 17, 30, 37, 42} // IANA, ICMP types: each asks for something
		if target.Is6() {
			messages = []byte{128, 130, 133, 139, 144, 146, 160}
		}
		for _, kind := range messages {
			message := append([]byte{kind}, bare.Body[1:]...)
			message = append(message, make([]byte, 12)...)
			if !yield("icmp", ICMP(from, target, message)) {
				return
			}
		}
		for proto := 0; proto < 256; proto++ {
			switch proto {
			case protoICMP, protoICMP6, protoTCP, protoUDP, protoSCTP, protoGRE:
				continue
			}
			if !yield("ip protocol", Packet{Src: from, Dst: target, Proto: byte(proto), Body: make([]byte, 24)}) {
				return
			}
		}
		for range 3 {
			if !yield("gre", GRE(from, target, echo)) || !yield("echo", echo) {
				return
			}
		}
	}
}

// see sorts each frame that the link received.
func (s *scanner) see(frame []byte) {
	if len(frame) < 14 || string(frame[6:12]) == string(s.own) {
		return
	}
	f := parse(frame)
	if f.asks == s.from && s.from.IsValid() {
		s.beAsked(f)
		return
	}
	if f.tells == s.target && s.target.IsValid() {
		select {
		case s.resolved <- f.source:
		default:
		}
		return
	}
	if words := s.answer(f); words != "" {
		s.add(words)
	}
}

// beAsked answers whoever asks for the hardware address of from, unless the host
// does. A target that asks everybody wants to answer a probe; one that asks us
// alone wants to know whether who asked for its own address is there still.
func (s *scanner) beAsked(f seen) {
	if s.owned {
		return
	}
	if f.toAll && f.source.String() == s.targetMAC() {
		s.add("it asks who has " + s.from.String())
	}
	reply := Advertisement(s.own, s.from, f.source, f.src)
	if s.from.Is4() {
		reply = ARPReply(s.own, s.from, f.source, f.src)
	}
	_ = s.send(reply) // if it is lost the question alone is the answer
}

func (s *scanner) targetMAC() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mac.String()
}

func (s *scanner) add(words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Answered++
	if len(s.report.Answers) < MaxAnswers {
		s.report.Answers = append(s.report.Answers, words)
	}
}

// answer says in words how the frame answers a probe; empty if it does not.
func (s *scanner) answer(f seen) string {
	if f.dst != s.from {
		return ""
	}
	ours := func(port uint16) bool { return port >= firstScanPort && port <= lastScanPort }
	switch {
	case f.proto == protoTCP || f.proto == protoUDP:
		if s.owned && !ours(f.dstPort()) {
			return "" // a connection of the host
		}
	case f.proto == protoICMP || f.proto == protoICMP6:
		if s.owned && !s.aboutProbe(f) {
			return ""
		}
	}
	return f.String()
}

// aboutProbe tells an answer to a probe from what the host itself asked for.
func (s *scanner) aboutProbe(f seen) bool {
	reply := byte(0)
	if f.proto == protoICMP6 {
		reply = 129
	}
	switch {
	case len(f.body) < 8:
		return true
	case f.proto == protoICMP6 && f.body[0] >= 133 && f.body[0] <= 137:
		return false // neighbour discovery between the two hosts
	case f.body[0] == reply:
		id := binary.BigEndian.Uint16(f.body[4:])
		return id == echoID || id == 0
	}
	return true
}
