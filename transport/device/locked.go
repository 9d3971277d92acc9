package device

import (
	"errors"
	"regexp"
	"sync"
)

// lockedWords is how servers, PAM modules and AAA servers say that an account is
// locked now. A banner that threatens with it ("will be locked") is not meant.
var lockedWords = regexp.MustCompile(`(?i)too many (authentication failures|failed|incorrect|login attempts)` +
	`|\b(account|user|login|log-in)( \S+)? (is|has been|was|now|currently|temporarily)( now| currently| temporarily| been)? ?(locked|disabled|suspended|blocked)` +
	`|\b(account|user) (temporarily )?(locked|disabled|suspended|blocked)\b` +
	`|\b(is|are|been) locked out|\blocked due to`)

func saysLocked(text string) bool { return lockedWords.MatchString(text) }

// Bounds of what a server may say while it lets log in. A legal notice has a few
// kilobytes.
const (
	maxBanners     = 64
	maxBannerBytes = 64 << 10
)

var errFlood = errors.New("it sends banners without end")

// ear hears what a server says besides the protocol, and keeps of it only
// whether the account is said to be locked.
type ear struct {
	mu      sync.Mutex // held for all below: callbacks may outlive a handshake
	banners int
	bytes   int
	locked  bool
}

func (e *ear) hear(texts ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range texts {
		e.locked = e.locked || saysLocked(t[:min(len(t), maxBannerBytes)])
	}
}

// banner implements ssh.BannerCallback.
func (e *ear) banner(text string) error {
	e.hear(text)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.banners++
	e.bytes += len(text)
	if e.banners > maxBanners || e.bytes > maxBannerBytes {
		return errFlood
	}
	return nil
}

func (e *ear) saidLocked() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.locked
}
