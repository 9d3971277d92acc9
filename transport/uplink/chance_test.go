package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// chanceBudget is small, so that it is full most of the time.
const chanceBudget = 1 << 20

// Whatever lanes, the cloud and the line do in whatever order: the accounts agree
// with what is there, no frame is forgotten, and every document that was taken
// over has one last word in the end.
func TestDeliveryByChance(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			c := newChance(t, seed)
			c.storm(150)
			c.heal()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// chance is one run of operations by chance: several visits, and a cloud.
type chance struct {
	t     *testing.T
	u     *Uplink
	o     told
	rng   *rand.Rand // of the cloud and the line
	runs  []string
	cloud map[string]map[int]bool // parts that came, by document
	ends  map[string]int          // how many parts there are
	said  []wire.Receipt          // that are late

	mu      sync.Mutex
	taken   map[string]bool // committed documents
	pending sync.WaitGroup
	stop    context.CancelFunc
}

func newChance(t *testing.T, seed uint64) *chance {
	c := &chance{t: t, u: offline(t, 256<<10), rng: rand.New(rand.NewPCG(seed, 1)), taken: map[string]bool{},
		cloud: map[string]map[int]bool{}, ends: map[string]int{}, runs: []string{runAt(1), runAt(2), runAt(3)}}
	c.u.out.limit = chanceBudget
	ctx, cancel := context.WithCancel(t.Context())
	c.stop = cancel
	for n := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 100+n))
		c.pending.Go(func() {
			for ctx.Err() == nil {
				c.visit(ctx, rng)
			}
		})
	}
	synctest.Wait()
	return c
}

// visit is one lane's life.
func (c *chance) visit(ctx context.Context, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(3600))*time.Second)
	defer cancel()
	l, err := c.u.Lane(ctx, c.runs[rng.IntN(len(c.runs))], fmt.Sprint("edge-", rng.IntN(4)), func() func() { return func() {} })
	if err != nil {
		return
	}
	defer l.Close()
	for range rng.IntN(12) {
		time.Sleep(time.Duration(rng.IntN(60)) * time.Second)
		plain := chanceDoc(rng)
		h := small(fmt.Sprint("item-", rng.IntN(4)), plain)
		if rng.IntN(10) == 0 {
			l.Flush()
		}
		switch hold := rng.IntN(4) == 0; {
		case len(plain) <= SmallDocument:
			err = l.Add(ctx, h, plain, hold, c.o.done)
		default:
			err = c.stream(ctx, rng, l, h, plain, hold)
		}
		if err == nil {
			c.mu.Lock()
			c.taken[h.ID] = true
			c.mu.Unlock()
		}
	}
}

var errAborted = errors.New("aborted by chance")

func (c *chance) stream(ctx context.Context, rng *rand.Rand, l *Lane, h wire.Header, plain []byte, hold bool) error {
	s, err := l.Stream(ctx, h, hold)
	if err != nil {
		return err
	}
	for len(plain) > 0 {
		n := min(len(plain), 1+rng.IntN(100<<10))
		if _, err := s.Write(plain[:n]); err != nil {
			s.Abort()
			return err
		}
		plain = plain[n:]
		time.Sleep(time.Duration(rng.IntN(10)) * time.Second)
	}
	if rng.IntN(5) == 0 {
		return errAborted // by the next use of the lane
	}
	return s.Commit(h, c.o.done)
}

// chanceDoc is a document: one of few, or new; noise, which fills frames, or not.
func chanceDoc(rng *rand.Rand) []byte {
	size := []int{100, 2000, 100 << 10, 200 << 10, 500 << 10}[rng.IntN(5)]
	b := make([]byte, size)
	if rng.IntN(3) > 0 {
		b[0] = byte(rng.IntN(2))
		return b
	}
	var key [32]byte
	key[0] = byte(rng.IntN(6))
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// storm does n operations of the cloud and the line.
func (c *chance) storm(n int) {
	for range n {
		c.step()
		synctest.Wait()
		c.check()
		if c.t.Failed() {
			c.stop()
			c.t.Logf("the storm ends early")
			return
		}
	}
}

func (c *chance) step() {
	o, rng := c.u.out, c.rng
	switch rng.IntN(16) {
	case 0, 1, 2, 3:
		for range rng.IntN(8) {
			c.carry(rng.IntN(6) > 0)
		}
	case 4, 5, 6:
		for range min(rng.IntN(8), len(c.said)) {
			c.tell(rng.IntN(len(c.said)))
		}
	case 7:
		o.anew()
	case 8:
		o.setWindow(int64(1 + rng.IntN(512<<10)))
	case 9:
		o.mu.Lock()
		o.limit = chanceBudget/2 + rng.Int64N(chanceBudget)
		o.mu.Unlock()
	case 10:
		c.u.DropHeld(c.runs[rng.IntN(len(c.runs))])
	case 11:
		ids := c.held()
		o.approved(ids[:len(ids)/2])
		callAll(o.withhold(codeDeclined, ids[len(ids)*3/4:], ""))
	case 12:
		o.hurry(c.held())
	case 13:
		c.stray()
	case 14:
		c.manifest()
	case 15:
		time.Sleep(time.Duration(rng.IntN(1200)) * time.Second)
	}
}

// held lists documents that wait for an approval, whether they were offered or not.
func (c *chance) held() (ids []string) {
	c.u.out.mu.Lock()
	defer c.u.out.mu.Unlock()
	for id, d := range c.u.out.docs {
		if d.body != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// manifest publishes one, which counts beside the documents.
func (c *chance) manifest() {
	h := wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: collectorID, Boot: c.u.Boot(), Run: c.runs[0]}
	frames, err := wire.Split(h, chanceDoc(c.rng), c.u.packing())
	d := &document{id: h.ID, run: h.Run, kind: wire.KindRun, share: 1, done: c.o.done}
	if err := errors.Join(err, c.u.out.register(d)); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.taken[h.ID] = true
	c.mu.Unlock()
	c.u.out.put(&parcel{kind: wire.KindRun, docs: []*document{d}}, frames, 0)
}

// stray gives a receipt that no cloud has a reason for.
func (c *chance) stray() {
	c.u.out.mu.Lock()
	ids := slices.Sorted(maps.Keys(c.u.out.docs))
	c.u.out.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	words := []wire.ReceiptStatus{wire.Stored, wire.Duplicate, wire.Rejected, wire.Offered, wire.Complete}
	settle(c.u, wire.Receipt{ID: ids[c.rng.IntN(len(ids))], Status: words[c.rng.IntN(len(words))]})
}

// carry takes one frame to the cloud, or loses it on the way.
func (c *chance) carry(arrives bool) bool {
	f, _ := c.u.out.next(time.Now())
	if f == nil {
		return false
	}
	h, body, err := wire.ParseFrame(f.bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	c.u.out.sent(f, time.Now(), arrives)
	if arrives {
		c.arrived(h, body)
	}
	return true
}

// arrived is what the cloud makes of a frame.
func (c *chance) arrived(h wire.Header, _ []byte) {
	answer := func(id string, s wire.ReceiptStatus, parts int) {
		c.said = append(c.said, wire.Receipt{ID: id, Status: s, Parts: parts})
	}
	for _, d := range h.Docs {
		if d.Length < d.Size && d.Flags[len(d.Flags)-1] == wire.FlagHeld {
			answer(d.ID, wire.Offered, 0)
		} else {
			answer(d.ID, wire.Stored, 0)
		}
	}
	if len(h.Docs) > 0 {
		return
	}
	if c.cloud[h.ID] == nil {
		c.cloud[h.ID] = map[int]bool{}
	}
	c.cloud[h.ID][h.Part] = true
	if h.Parts > 0 {
		c.ends[h.ID] = h.Parts
	}
	n := 0
	for c.cloud[h.ID][n] {
		n++
	}
	switch {
	case n == c.ends[h.ID] && h.Type == wire.KindRun:
		answer(h.ID, wire.Complete, 0)
	case n == c.ends[h.ID]:
		answer(h.ID, wire.Stored, 0)
	default:
		answer(h.ID, wire.Kept, n)
	}
}

// tell gives a late receipt: as it is, twice, as a refusal, or never.
func (c *chance) tell(i int) {
	r := c.said[i]
	c.said[i] = c.said[len(c.said)-1]
	c.said = c.said[:len(c.said)-1]
	switch c.rng.IntN(10) {
	case 0:
		return
	case 1:
		settle(c.u, r)
	case 2:
		if r.Status != wire.Stored { // else the cloud has it
			r.Status = wire.Rejected
		}
	case 3:
		settle(c.u, wire.Receipt{ID: r.ID, Status: wire.Rejected, Retryable: true})
	}
	settle(c.u, r)
}

// heal ends the visits and lets everything through.
func (c *chance) heal() {
	c.stop()
	for range 50 {
		c.u.out.setWindow(1 << 30)
		c.u.out.anew()
		for range 1000 {
			if !c.carry(true) {
				break
			}
		}
		for _, r := range c.said {
			settle(c.u, r)
		}
		c.said = nil
		time.Sleep(time.Hour)
		synctest.Wait()
		c.check()
	}
	for _, run := range c.runs {
		c.u.DropHeld(run)
	}
	c.pending.Wait()
	checkEmpty(c.t, c.u)
	for id := range c.taken {
		if n := len(c.o.m[id]); n != 1 {
			c.t.Errorf("document %s has %d last words", id, n)
		}
	}
	for id := range c.o.m {
		if !c.taken[id] {
			c.t.Errorf("document %s was told, and never taken over", id)
		}
	}
}

// check compares the accounts with what is there.
func (c *chance) check() {
	o := c.u.out
	o.mu.Lock()
	defer o.mu.Unlock()
	var moving, other, out, held int64
	var frames int
	for p := range o.parcels {
		if p.kind == wire.KindRun {
			other += p.total()
		} else {
			moving += p.total()
			frames += len(p.frames)
		}
		if len(p.docs) == 0 {
			c.t.Errorf("a parcel of no document")
		}
		for _, d := range p.docs {
			if d.last != nil || d.carrier != p || o.docs[d.id] != d {
				c.t.Errorf("document %s is not on its carrier", d.id)
			}
		}
		for _, f := range p.frames {
			if f.out {
				out += int64(len(f.bytes))
			}
			if f.p != p || f.index < 0 && (p.index < 0 || !f.left) {
				c.t.Errorf("part %d of %s is forgotten", f.part, p.docs[0].id)
			}
		}
	}
	for _, d := range o.docs {
		if d.body != nil {
			held += d.body.cost
		}
	}
	if moving != o.moving || other != o.other || frames != o.frames || out != o.out || held > o.held {
		c.t.Errorf("%d and %d bytes move, %d frames, %d in the window, %d held; the accounts say %d, %d, %d, %d, %d",
			moving, other, frames, out, held, o.moving, o.other, o.frames, o.out, o.held)
	}
	if o.hands < 0 || o.lanes < 0 || o.held < 0 {
		c.t.Errorf("less than nothing: %+v", o.budget)
	}
	if len(o.growing)+len(o.entering) > 0 && o.lanes == 0 && o.frames == 0 {
		c.t.Errorf("%d lanes wait for nobody", len(o.growing)+len(o.entering))
	}
}
