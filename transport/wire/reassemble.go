package wire

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Assembly limits. A document is held for AssemblyAge at most; the pieces of
// all unfinished documents of one sender have AssemblyBytes.
const (
	AssemblyAge   = 10 * time.Minute
	AssemblyBytes = 64 << 20
	// partOverhead is charged for each part on top of its bytes, so that empty
	// parts cannot fill memory unseen.
	partOverhead = 4 << 10
)

// Whole is a complete body with the header of its last part.
type Whole struct {
	Header
	Plain []byte
}

// Assembler puts the parts of framed bodies together again, for one sender. Its
// zero value is ready once MaxSize is set. It is not safe for concurrent use.
type Assembler struct {
	// MaxSize bounds one plain body, in bytes.
	MaxSize int64
	// MaxHeld bounds the parts of unfinished bodies; 0 means AssemblyBytes.
	MaxHeld int
	// Key opens sealed bodies; the zero value refuses them.
	Key BootKey

	open   map[string]*assembly
	held   int
	oldest time.Time // no assembly is older
}

type assembly struct {
	first time.Time
	parts map[int][]byte
	bytes int    // of the parts
	cost  int    // what they count for in held
	last  Header // the part that told the count
}

// Add takes one frame. It returns nil without an error while parts are missing.
// A part that came before is ignored. After an error the document is forgotten;
// its sender will send it again whole.
func (a *Assembler) Add(now time.Time, h Header, body []byte) (*Whole, error) {
	a.expire(now)
	if h.Size > a.MaxSize {
		return nil, fmt.Errorf("document %s has %d bytes, more than %d: %w", h.ID, h.Size, a.MaxSize, ErrTooLarge)
	}
	plainPart, err := OpenBody(h, body, a.Key)
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", h.ID, err)
	}
	if h.Part == 0 && h.Parts == 1 {
		a.drop(h.ID)
		return finish(h, plainPart)
	}
	joined, last, err := a.join(now, h, plainPart)
	if joined == nil || err != nil {
		return nil, err
	}
	return finish(last, joined)
}

// join stores a part and returns the compressed body once it is complete.
func (a *Assembler) join(now time.Time, h Header, part []byte) ([]byte, Header, error) {
	if a.open == nil {
		a.open = map[string]*assembly{}
	}
	as := a.open[h.ID]
	if as == nil {
		if len(a.open) == 0 {
			a.oldest = now
		}
		as = &assembly{first: now, parts: map[int][]byte{}}
		a.open[h.ID] = as
	}
	if h.Parts > 0 {
		as.last = h
	}
	if _, dup := as.parts[h.Part]; !dup {
		cost := len(part) + partOverhead
		if most := cmp.Or(a.MaxHeld, AssemblyBytes); a.held+cost > most {
			a.drop(h.ID)
			return nil, h, fmt.Errorf("document %s: unfinished documents hold more than %d bytes: %w", h.ID, most, ErrTooLarge)
		}
		as.parts[h.Part] = slices.Clone(part)
		as.bytes += len(part)
		as.cost += cost
		a.held += cost
	}
	if as.last.Parts == 0 || len(as.parts) < as.last.Parts {
		return nil, h, nil
	}
	joined := make([]byte, 0, as.bytes)
	for i := range as.last.Parts {
		p, ok := as.parts[i]
		if !ok {
			a.drop(h.ID)
			return nil, h, fmt.Errorf("document %s: part %d is missing among %d: %w", h.ID, i, as.last.Parts, ErrFrame)
		}
		joined = append(joined, p...)
	}
	last := as.last
	a.drop(h.ID)
	return joined, last, nil
}

func finish(h Header, compressed []byte) (*Whole, error) {
	plain, err := inflate(h.Enc, compressed, h.Size)
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", h.ID, err)
	}
	if got := Digest(plain); got != h.SHA256 {
		return nil, fmt.Errorf("document %s: its SHA-256 is %s, its header says %.64q: %w", h.ID, got, h.SHA256, ErrFrame)
	}
	return &Whole{Header: h, Plain: plain}, nil
}

func (a *Assembler) drop(id string) {
	if as := a.open[id]; as != nil {
		a.held -= as.cost
		delete(a.open, id)
	}
}

// expire forgets what is too old. It walks the open documents only when the
// oldest of them may be, so that many of them do not make each Add slow.
func (a *Assembler) expire(now time.Time) {
	if now.Sub(a.oldest) <= AssemblyAge {
		return
	}
	a.oldest = now
	for id, as := range a.open {
		if now.Sub(as.first) > AssemblyAge {
			a.drop(id)
		} else if as.first.Before(a.oldest) {
			a.oldest = as.first
		}
	}
}
