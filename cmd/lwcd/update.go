package main

import (
	"fmt"
	"strings"
	"time"

	releases "lwc/image/release"
)

// update is the raw form of how updates are made.
type update struct {
	Program string `toml:"program"`
	Timeout string `toml:"timeout"`
	Spool   string `toml:"spool"`
	Keys    string `toml:"keys"`
}

const (
	defaultUpdate = 30 * time.Minute
	// maxUpdate is less than what the collector half waits.
	maxUpdate = 110 * time.Minute
)

// maxKeys bounds the file of the keys.
const maxKeys = 64 << 10

// releaseKeys reads the keys that releases are signed by.
func (u updating) releaseKeys() ([]byte, error) {
	if u.keys == "" {
		return nil, nil
	}
	text, _, err := readPlain(u.keys, maxKeys)
	if err == nil {
		_, err = releases.ParseKeys(text)
	}
	if err != nil {
		return nil, fmt.Errorf("reading update.keys: %w", err)
	}
	return text, nil
}

func (c *checker) updating(u update) updating {
	out := updating{program: c.absolute("update.program", u.Program, ""), spool: c.absolute("update.spool", u.Spool, ""),
		keys: c.absolute("update.keys", u.Keys, ""), timeout: c.duration("update.timeout", u.Timeout, time.Second, maxUpdate)}
	if (out.spool == "") != (out.keys == "") {
		c.addf("update.spool", "update.spool and update.keys go together: give both, or none")
	}
	if strings.ContainsAny(u.Program, " \t") {
		c.addf("update.program", "%q has a space in it: give the path of a program alone, without arguments", u.Program)
	}
	if out.timeout == 0 {
		out.timeout = defaultUpdate
	}
	return out
}
