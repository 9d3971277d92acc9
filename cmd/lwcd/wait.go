package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// What keeps the ports down is looked at again after a pause that grows between
// these, and soon when the configuration file or the set of links is another.
const (
	firstRetry = 2 * time.Second
	lastRetry  = 30 * time.Second
	// lookEvery is how often file and links are looked at meanwhile.
	lookEvery = 500 * time.Millisecond
)

// retry is the wait for a cause to go away.
type retry struct {
	path  string // of the configuration file
	pause time.Duration
	said  string // the last cause
}

// wait returns when it is worth trying again, false when ctx ended. known is the
// version of the file that was tried.
func (r *retry) wait(ctx context.Context, known, cause string) bool {
	if cause != r.said {
		r.said, r.pause = cause, 0
	}
	r.pause = min(max(2*r.pause, firstRetry), lastRetry)
	links := linksNow()
	limit, cancel := context.WithTimeout(ctx, r.pause)
	defer cancel()
	for last := known; sleep(limit, lookEvery); {
		now := versionOf(r.path)
		// A file that is still being written is another one with each look.
		if now == last && now != known || linksNow() != links {
			r.pause = 0
			return true
		}
		last = now
	}
	return ctx.Err() == nil
}

// versionOf tells two versions of a file apart; all ways of not being there are
// one.
func versionOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size(), info.Mode())
}

// linksNow tells two sets of links of this namespace apart.
func linksNow() string {
	links, err := net.Interfaces()
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, l := range links {
		fmt.Fprint(&b, l.Index, l.Name, l.HardwareAddr, l.MTU, " ")
	}
	return b.String()
}
