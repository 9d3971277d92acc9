package netguardtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxKept is how many matching frames a Sniffer keeps for the message.
const maxKept = 16

// Sniffer counts the received frames of one link that match.
type Sniffer struct {
	tap   *tap
	match func(frame []byte) bool

	mu     sync.Mutex // guards what follows
	count  int
	kept   [][]byte
	first  time.Time
	change chan struct{} // closed at the next match
}

// Sniff counts what the link of the host receives and match reports true for.
// What the host itself sends does not count. Stop it in the end.
func Sniff(h *Host, link string, match func(frame []byte) bool) (*Sniffer, error) {
	s := &Sniffer{match: match, change: make(chan struct{})}
	err := h.Do(func() error {
		l, err := linkHere(link)
		if err != nil {
			return err
		}
		if s.tap, err = openTap(l.Index); err != nil {
			return err
		}
		if err := s.tap.listen(l.Index, s.see); err != nil {
			s.tap.release()
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sniffing at %s: %w", link, err)
	}
	return s, nil
}

func (s *Sniffer) see(frame []byte) {
	if !s.match(frame) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		s.first = time.Now()
	}
	s.count++
	if len(s.kept) < maxKept {
		s.kept = append(s.kept, append([]byte(nil), frame...))
	}
	close(s.change)
	s.change = make(chan struct{})
}

// Count returns how many frames matched so far, and First when the first did.
func (s *Sniffer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// First returns when the first frame matched; the zero time if none did.
func (s *Sniffer) First() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// Frames returns the first matching frames, at most 16.
func (s *Sniffer) Frames() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.kept...)
}

// Wait returns when n frames have matched, or with the error of ctx.
func (s *Sniffer) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		count, change := s.count, s.change
		s.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("waiting for frame %d, %d came: %w", n, count, ctx.Err())
		}
	}
}

// Settle watches for another d and returns how many frames have matched. Frames
// cross a veth pair within microseconds, so that d may be short.
func (s *Sniffer) Settle(ctx context.Context, d time.Duration) (int, error) {
	err := pause(ctx, d)
	return s.Count(), err
}

// Stop ends the sniffer and returns the final count. The error says that frames
// were lost, which makes the count worthless.
func (s *Sniffer) Stop() (int, error) {
	err := s.tap.close()
	return s.Count(), err
}

// Sender puts frames on the wire as they are: the rules and routes of the host
// that sends do not see them.
type Sender struct {
	tap *tap
	// MAC is the hardware address of the link.
	MAC net.HardwareAddr
}

// Sender opens one on a link of the host. Close it in the end.
func (h *Host) Sender(link string) (*Sender, error) {
	s := &Sender{}
	err := h.Do(func() error {
		l, err := linkHere(link)
		if err != nil {
			return err
		}
		s.MAC = l.HardwareAddr
		s.tap, err = openTap(l.Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sending at %s: %w", link, err)
	}
	return s, nil
}

// Send puts the frames on the wire, in order.
func (s *Sender) Send(frames ...[]byte) error {
	for _, f := range frames {
		if err := s.tap.send(f); err != nil {
			return err
		}
	}
	return nil
}

// Flood sends the frames in turn, rate of them a second, until ctx ends, and
// returns how many it sent: fewer when the machine is too slow for that.
func (s *Sender) Flood(ctx context.Context, rate int, frames ...[]byte) (sent int, err error) {
	start := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for due := int(time.Since(start).Seconds() * float64(rate)); sent < due; sent++ {
			if err := s.tap.send(frames[sent%len(frames)]); err != nil {
				return sent, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return sent, nil
		}
	}
}

// Close releases the socket.
func (s *Sender) Close() { s.tap.release() }

// Both returns the errors of two sniffers' ends and the sum of their counts.
func Both(a, b *Sniffer) (int, error) {
	n, err := a.Stop()
	m, err2 := b.Stop()
	return n + m, errors.Join(err, err2)
}
