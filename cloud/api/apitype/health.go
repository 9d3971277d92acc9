package apitype

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
)

// Heartbeat says in a word whether a collector is heard: beating, stopped (it said
// good-bye), lost (it fell silent, or its connection broke), awaited (the cloud
// started anew and has not heard it yet), or "" where none is to be expected.
func (c Collector) Heartbeat() string {
	switch {
	case c.State != "active" || c.LastSeen.IsZero():
		return ""
	case c.Online:
		return "beating"
	case !c.LostAt.IsZero():
		return "lost"
	case !c.AwaitedSince.IsZero():
		return "awaited"
	}
	return "stopped"
}

const (
	// nearlyFull is the part of the memory for documents from which collection is
	// about to wait for receipts.
	nearlyFull = 0.9
	// renewBy is how long before its end a certificate should have been renewed: that
	// is tried from a third of its life on, which is 30 days.
	renewBy = 14 * 24 * time.Hour
)

// HealthNeed says what an operator has to know of a collector's health, and to do,
// as of now; nothing where all is well. The ports have their own words.
func HealthNeed(c Collector, now time.Time) []string {
	if c.State != "active" {
		return nil
	}
	var out []string
	if c.Heartbeat() == "lost" {
		out = append(out, fmt.Sprintf("The heartbeat is lost since %s: the collector fell silent without saying good-bye. Look whether the box has power and its External Port a network; it comes back by itself.",
			c.LostAt.UTC().Format("2006-01-02 15:04:05 UTC")))
	}
	if left := c.CertificateExpires.Sub(now); !c.CertificateExpires.IsZero() && left < renewBy {
		out = append(out, certificateNeed(c, left))
	}
	if c.Health == nil {
		return out
	}
	for _, check := range c.Health.Checks {
		if !check.OK {
			out = append(out, fmt.Sprintf("The check of %s fails: %s", check.Name, sentenceEnd(check.Detail)))
		}
	}
	if h := c.Health; c.Online && h.Budget > 0 && float64(h.QueueBytes) >= nearlyFull*float64(h.Budget) {
		out = append(out, fmt.Sprintf("The memory for documents is nearly full: %s of %s wait for receipts, so collection slows down. The line to the cloud is slow, or was down; a larger limits.budget_bytes gives more room.",
			humanize.IBytes(uint64(max(h.QueueBytes, 0))), humanize.IBytes(uint64(h.Budget))))
	}
	return out
}

func certificateNeed(c Collector, left time.Duration) string {
	until := c.CertificateExpires.UTC().Format(time.DateOnly)
	if left <= 0 {
		return "The certificate ended on " + until + ": the collector cannot connect any more. Enrol it anew with a token that is bound to its id."
	}
	return fmt.Sprintf("The certificate ends on %s and was not renewed yet: have it renewed (lwc-cloud renew-cert %s --wait), and look at its errors where that fails.", until, c.ID)
}

// sentenceEnd ends a text with one full stop.
func sentenceEnd(s string) string {
	for len(s) > 0 && s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	if s == "" {
		return "it gives no reason."
	}
	return s + "."
}

// BudgetText says how much of the memory for documents is used.
func (c Collector) BudgetText() string {
	if c.Health == nil {
		return ""
	}
	text := humanize.IBytes(uint64(max(c.Health.QueueBytes, 0)))
	if c.Health.Budget > 0 {
		text += " of " + humanize.IBytes(uint64(c.Health.Budget))
	}
	return text
}
