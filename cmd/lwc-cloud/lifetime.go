package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// The bounds of the API for an enrolment token.
const leastTTL, mostTTL = time.Minute, 90 * day

// longest bounds what the server alone hands out: ten years.
const longest = 3650 * day

// lifetimeFlag adds a flag for how long something lives, from least to most, and otherwise
// where it is not given.
func lifetimeFlag(fs *flag.FlagSet, name, usage string, otherwise, least, most time.Duration) *time.Duration {
	d := otherwise
	fs.Func(name, usage, func(text string) (err error) {
		switch d, err = parseLifetime(text); {
		case err != nil:
		case d < least:
			err = fmt.Errorf("that is too short: give %s at least", lifetimeWord(least))
		case d > most:
			err = fmt.Errorf("that is too long: give %s at most", lifetimeWord(most))
		}
		return err
	})
	return &d
}

// inDays is a number of days, and what follows it.
var inDays = regexp.MustCompile(`^([0-9]{1,5}) ?d(?:ays?)? ?(.*)$`)

// parseLifetime reads 14d, 1d12h, 36h or 90m.
func parseLifetime(text string) (time.Duration, error) {
	var days, rest time.Duration
	if found := inDays.FindStringSubmatch(text); found != nil {
		n, _ := strconv.Atoi(found[1]) // digits, and few
		if days, text = time.Duration(n)*day, found[2]; text == "" {
			return days, nil
		}
	}
	rest, err := time.ParseDuration(text)
	if err != nil || rest < 0 {
		return 0, errors.New("write it as 14d (days), 36h (hours) or 90m (minutes)")
	}
	return days + min(rest, longest+day), nil // no overflow
}

func lifetimeWord(d time.Duration) string {
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.Truncate(time.Second).String()
}
