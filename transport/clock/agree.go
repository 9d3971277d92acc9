package clock

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// candidate is a server in one round.
type candidate struct {
	answer Answer
}

func (c *candidate) take(s sample, err error) {
	c.answer.Err = err
	if err == nil {
		c.answer.Offset, c.answer.Distance, c.answer.Stratum = s.offset, s.distance, s.stratum
	}
}

// agreement is the offset that a majority stands for.
type agreement struct{ offset, distance time.Duration }

// What a round may end with instead of an offset.
var (
	errNoAnswer    = errors.New("no time server gave a usable answer")
	errNoAgreement = errors.New("the time servers contradict each other")
)

// agree finds the time that more than half of the answers bear out, and marks
// those that do not as falsetickers. Each answer says that the true time lies
// within its distance: the intersection that most of them share is sought (RFC
// 5905 section 11.2.1).
func agree(all []*candidate) (agreement, error) {
	var good []*candidate
	var errs []error
	for _, c := range all {
		if c.answer.Err == nil {
			good = append(good, c)
		} else {
			errs = append(errs, fmt.Errorf("%s: %w", c.answer.Server, c.answer.Err))
		}
	}
	if len(good) == 0 {
		return agreement{}, fmt.Errorf("%w: %w", errNoAnswer, errors.Join(errs...))
	}
	low, high, votes := intersection(good)
	if 2*votes <= len(good) {
		return agreement{}, fmt.Errorf("%w: of %d no more than %d agree", errNoAgreement, len(good), votes)
	}
	return combine(good, low, high), nil
}

// intersection returns the range that lies in most of the intervals.
func intersection(good []*candidate) (low, high time.Duration, votes int) {
	for _, c := range good {
		// A range that most share begins where one of them does.
		from := c.answer.Offset - c.answer.Distance
		to, n := time.Duration(1<<63-1), 0
		for _, o := range good {
			if o.answer.Offset-o.answer.Distance <= from && from <= o.answer.Offset+o.answer.Distance {
				n++
				to = min(to, o.answer.Offset+o.answer.Distance)
			}
		}
		if n > votes {
			low, high, votes = from, to, n
		}
	}
	return low, high, votes
}

// combine weighs the offsets of the truechimers by how sure they are (RFC 5905
// section 11.2.3).
func combine(good []*candidate, low, high time.Duration) agreement {
	var sum, weights float64
	var distances []time.Duration
	for _, c := range good {
		a := &c.answer
		if a.Offset-a.Distance > high || a.Offset+a.Distance < low {
			a.Err = fmt.Errorf("the majority says otherwise: it is off by %v", (a.Offset - low/2 - high/2).Round(time.Millisecond))
			continue
		}
		a.Used = true
		w := 1 / a.Distance.Seconds()
		sum, weights = sum+w*a.Offset.Seconds(), weights+w
		distances = append(distances, a.Distance)
	}
	mean := time.Duration(sum / weights * float64(time.Second))
	return agreement{offset: min(max(mean, low), high), distance: slices.Min(distances)}
}
