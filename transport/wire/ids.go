package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// Version is the protocol version that this package speaks. It is the v of
// every message and frame.
const Version = 1

// DefaultPrefix is the topic prefix where none is configured.
const DefaultPrefix = "lwc/v1"

// ErrCollectorID says that a collector id is not one.
var ErrCollectorID = errors.New("a collector id has 8 to 63 characters a-z, 0-9 and '-', and starts with a letter or digit")

var collectorID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{7,62}$`)

// CheckCollectorID returns ErrCollectorID, with the offending text, unless id
// is a collector id. Nothing else may ever stand in a topic or a client id:
// brokers widen access lists by the characters + # / $.
func CheckCollectorID(id string) error {
	if !collectorID.MatchString(id) {
		return fmt.Errorf("%.80q: %w", id, ErrCollectorID)
	}
	return nil
}

// NewID returns a ULID: 26 characters, unique, ordered by time of making.
// Document, run, job and boot ids are made so.
func NewID() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }

// RunID returns the id of a collector's run by schedule: a ULID of the window's
// start and of a hash of the rest, so that every boot gives it the same one, and a
// run that a restart cut off goes on instead of beginning anew.
func RunID(collector, schedule string, window time.Time) string {
	var id ulid.ULID
	if err := id.SetTime(uint64(max(window.UnixMilli(), 0))); err != nil {
		return NewID() // a window after the year 10889
	}
	sum := sha256.Sum256([]byte(collector + "|" + schedule + "|" + window.UTC().Format(time.RFC3339)))
	copy(id[6:], sum[:])
	return id.String()
}

// CheckID returns an error unless s is a ULID.
func CheckID(s string) error {
	if _, err := ulid.ParseStrict(s); err != nil {
		return fmt.Errorf("id %.40q is not a ULID: %w", s, err)
	}
	return nil
}

// Direction is up (collector to cloud) or down.
type Direction string

// The two directions, as they stand in topics.
const (
	Up   Direction = "up"
	Down Direction = "down"
)

// Kind names what a topic carries; it is the last level of the topic and part
// of the payload type of a signature.
type Kind string

// The kinds. The comment gives the direction and the form of the payload.
const (
	KindHello   Kind = "hello"   // up, signed Hello
	KindWelcome Kind = "welcome" // down, signed Welcome
	KindDesired Kind = "desired" // down, frames of a Desired
	KindState   Kind = "state"   // up, signed State
	KindFact    Kind = "fact"    // up, frames of documents
	KindRun     Kind = "run"     // up, frames of a Manifest
	KindReceipt Kind = "receipt" // down, signed Receipts
	KindNeed    Kind = "need"    // down, signed Need
	KindJob     Kind = "job"     // both: down signed Job, up signed JobStatus
	KindHealth  Kind = "health"  // up, JSON Health
	KindEvent   Kind = "event"   // up, JSON Event
	KindBye     Kind = "bye"     // up, JSON Bye
)

// kindsOf is the closed set of topics of each direction.
var kindsOf = map[Direction][]Kind{
	Up:   {KindHello, KindState, KindFact, KindRun, KindJob, KindHealth, KindEvent, KindBye},
	Down: {KindWelcome, KindDesired, KindReceipt, KindNeed, KindJob},
}

// Topics builds and reads topic names under one prefix.
type Topics struct {
	Prefix string // without a slash at its end; empty means DefaultPrefix
}

func (t Topics) prefix() string {
	if t.Prefix == "" {
		return DefaultPrefix
	}
	return t.Prefix
}

// Name returns the topic of kind k in direction d for a collector.
func (t Topics) Name(id string, d Direction, k Kind) string {
	return t.prefix() + "/" + id + "/" + string(d) + "/" + string(k)
}

// DownFilter is the one subscription of a collector.
func (t Topics) DownFilter(id string) string { return t.prefix() + "/" + id + "/down/+" }

// UpFilter is the subscription of the cloud, without a share group.
func (t Topics) UpFilter() string { return t.prefix() + "/+/up/#" }

// Parse takes a topic apart. It refuses every topic that Name cannot make.
func (t Topics) Parse(topic string) (id string, d Direction, k Kind, err error) {
	rest, ok := strings.CutPrefix(topic, t.prefix()+"/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return "", "", "", fmt.Errorf("topic %.120q is not of the form %s/{id}/up|down/{kind}", topic, t.prefix())
	}
	if err := CheckCollectorID(parts[0]); err != nil {
		return "", "", "", fmt.Errorf("reading topic: %w", err)
	}
	d, k = Direction(parts[1]), Kind(parts[2])
	for _, known := range kindsOf[d] {
		if known == k {
			return parts[0], d, k, nil
		}
	}
	return "", "", "", fmt.Errorf("topic %.120q has no known direction and kind", topic)
}
