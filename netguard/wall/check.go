package wall

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxProblems bounds what Check tells of; the first ones say enough.
const maxProblems = 20

// Check compares the namespace with what Apply left: each table, chain, rule and
// set of ours with its owner, byte by byte as the kernel tells them, what Permit
// let out, and that there is no table besides. No problems: all is as it was.
// While the generation of the rules stays, it reads no more than that and the
// chains that hang on the link.
func (w *Wall) Check(p Port) (problems []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	problems, err = w.check(p)
	if err != nil {
		return nil, fmt.Errorf("checking walls: %w", err)
	}
	if n := len(problems); n > maxProblems {
		problems = append(problems[:maxProblems], fmt.Sprintf("and %d more", n-maxProblems))
	}
	return problems, nil
}

func (w *Wall) check(p Port) ([]string, error) {
	if w.applied == nil || !w.applied.equal(p) {
		return []string{"the tables are not those of this port: they have to be applied"}, nil
	}
	if err := w.nl.hasLink(p); errors.Is(err, ErrNoLink) {
		return []string{err.Error()}, nil
	} else if err != nil {
		return nil, err
	}
	gen, err := w.nl.generation()
	if err != nil {
		return nil, err
	}
	if gen == w.gen {
		return w.checkLinkChains()
	}
	now, err := w.nl.read()
	if err != nil {
		return nil, err
	}
	problems := w.compare(now)
	if len(problems) == 0 {
		w.gen = now.gen
	}
	return problems, nil
}

// checkLinkChains looks at what changes without a new generation: up to Linux
// 6.15 a chain of the netdev family goes away with its link.
func (w *Wall) checkLinkChains() ([]string, error) {
	if w.applied.closed() {
		return nil, nil
	}
	s := &snapshot{}
	if err := w.nl.dump(unix.NFT_MSG_GETCHAIN, unix.NFPROTO_NETDEV, nil, s.addChain); err != nil {
		return nil, err
	}
	var before []object
	for _, o := range w.objects {
		if o.table.family == unix.NFPROTO_NETDEV && o.chain {
			before = append(before, o)
		}
	}
	return differences(before, s.objects), nil
}

func (w *Wall) compare(now *snapshot) []string {
	var problems []string
	for i := range now.tables {
		t := &now.tables[i]
		switch {
		case !t.id.ours():
			problems = append(problems, t.describe())
		case t.flags&tableDormant != 0:
			problems = append(problems, t.id.String()+" is dormant: it filters nothing")
		}
	}
	before := w.objects
	for _, t := range plan(*w.applied, w.kernel) {
		if now.table(t.id()) == nil {
			problems = append(problems, t.String()+" is gone")
			before = slices.DeleteFunc(slices.Clone(before), func(o object) bool { return o.table == t.id() })
		}
	}
	problems = append(problems, differences(before, now.objects)...)
	at := time.Now()
	for _, e := range now.timed {
		if problem := w.problem(e, at); problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}
