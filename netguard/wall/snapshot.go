package wall

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Attributes that the kernel has and the unix package lacks
// (include/uapi/linux/netfilter/nf_tables.h).
const (
	setAttrCount      = 20 // how many elements: changes with each
	chainAttrFlags    = 10
	chainAttrUserdata = 12
)

// chainBase is the flag of every base chain (NFT_CHAIN_BASE).
const chainBase = 1

// snapshot is the ruleset of the namespace at one generation.
type snapshot struct {
	gen     uint32
	tables  []foundTable
	objects []object // what belongs to tables of our name, without elements that time out
	timed   []timedElement
}

type tableID struct {
	family byte
	name   string
}

func (id tableID) ours() bool {
	return (id.name == tableName || id.name == aliveName) && (id.family == unix.NFPROTO_INET || id.family == unix.NFPROTO_NETDEV)
}

func (id tableID) String() string { return "table " + familyName(id.family) + " " + id.name }

// foundTable is a table that is there.
type foundTable struct {
	id                tableID
	flags, owner, use uint32
	chains            []foundChain
	sets              []set
}

type foundChain struct {
	name string
	base bool
	kind string
	hook hook
	odd  bool // has what chains of ours do not: counters, a comment, flags
}

// object is one thing in our tables with its attributes, as the kernel tells it.
type object struct {
	name  string // "rule 3 of chain output of table inet lwc"
	body  []byte
	table tableID
	chain bool
}

// timedElement is an element of a dynamic set, with the time it has left.
type timedElement struct {
	set  string
	key  []byte
	left time.Duration
}

// forever is what an element has left that does not time out.
const forever = time.Duration(math.MaxInt64)

// maxRepeats bounds how often a dump is read again because the rules changed
// meanwhile.
const maxRepeats = 8

// read takes a snapshot. It reads again when the rules changed meanwhile.
func (c *conn) read() (*snapshot, error) {
	for range maxRepeats {
		s, err := c.readOnce()
		if err == nil {
			gen, err := c.generation()
			if err != nil {
				return nil, err
			}
			if gen == s.gen {
				return s, nil
			}
		} else if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("reading the rules: they changed %d times meanwhile", maxRepeats)
}

// generation returns the number that the kernel counts up with each change.
func (c *conn) generation() (gen uint32, err error) {
	err = c.get(request{kind: unix.NFT_MSG_GETGEN}, func(m message) error {
		return eachAttr(m.attrs(), func(kind uint16, value []byte) error {
			if kind == unix.NFTA_GEN_ID {
				gen = number(value)
			}
			return nil
		})
	})
	if err != nil {
		return 0, readError("reading the generation of the rules", err)
	}
	return gen, nil
}

func (c *conn) readOnce() (*snapshot, error) {
	s := &snapshot{}
	var err error
	if s.gen, err = c.generation(); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		kind  uint16
		visit func(message) error
	}{{unix.NFT_MSG_GETTABLE, s.addTable}, {unix.NFT_MSG_GETCHAIN, s.addChain}, {unix.NFT_MSG_GETSET, s.addSet}} {
		if err := c.dump(d.kind, unix.NFPROTO_UNSPEC, nil, d.visit); err != nil {
			return nil, err
		}
	}
	for i := range s.tables {
		if t := &s.tables[i]; t.id.ours() {
			if err := c.readInside(s, t); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// readInside reads the rules and elements of a table of ours.
func (c *conn) readInside(s *snapshot, t *foundTable) error {
	counts := map[string]int{}
	err := c.dump(unix.NFT_MSG_GETRULE, t.id.family, attrText(nil, unix.NFTA_RULE_TABLE, t.id.name), func(m message) error {
		return s.addRule(m, counts)
	})
	for i := 0; i < len(t.sets) && err == nil; i++ {
		of := attrText(attrText(nil, unix.NFTA_SET_ELEM_LIST_TABLE, t.id.name), unix.NFTA_SET_ELEM_LIST_SET, t.sets[i].name)
		err = c.dump(unix.NFT_MSG_GETSETELEM, t.id.family, of, func(m message) error {
			return s.addElements(m, t.id, t.sets[i])
		})
	}
	return err
}

func (c *conn) dump(kind uint16, family byte, attrs []byte, visit func(message) error) error {
	err := c.get(request{kind: kind, flags: unix.NLM_F_DUMP, family: family, attrs: attrs}, visit)
	if err != nil {
		return readError("reading the rules", err)
	}
	return nil
}

func (s *snapshot) addTable(m message) error {
	t := foundTable{id: tableID{family: m.family}}
	err := eachAttr(m.attrs(), func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_TABLE_NAME:
			t.id.name = text(value)
		case unix.NFTA_TABLE_FLAGS:
			t.flags = number(value)
		case unix.NFTA_TABLE_USE:
			t.use = number(value)
		case tableAttrOwner:
			t.owner = number(value)
		}
		return nil
	})
	s.tables = append(s.tables, t)
	s.keep(t.id, t.id.String(), m.attrs())
	return err
}

func (s *snapshot) keep(id tableID, name string, attrs []byte) {
	if id.ours() {
		s.objects = append(s.objects, object{name: name, body: bytes.Clone(attrs), table: id})
	}
}

func (s *snapshot) table(id tableID) *foundTable {
	for i := range s.tables {
		if s.tables[i].id == id {
			return &s.tables[i]
		}
	}
	return nil
}

func (s *snapshot) addChain(m message) error {
	id, c, err := parseChain(m)
	if err != nil {
		return err
	}
	if t := s.table(id); t != nil {
		t.chains = append(t.chains, c)
	}
	s.keep(id, chainName(id, c.name), m.attrs())
	if id.ours() {
		s.objects[len(s.objects)-1].chain = true
	}
	return nil
}

func chainName(id tableID, chain string) string { return "chain " + chain + " of " + id.String() }

func parseChain(m message) (id tableID, c foundChain, err error) {
	id.family = m.family
	err = eachAttr(m.attrs(), func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			id.name = text(value)
		case unix.NFTA_CHAIN_NAME:
			c.name = text(value)
		case unix.NFTA_CHAIN_TYPE:
			c.kind = text(value)
		case chainAttrFlags:
			c.odd = c.odd || number(value)&^chainBase != 0
		case unix.NFTA_CHAIN_COUNTERS, chainAttrUserdata:
			c.odd = true
		case unix.NFTA_CHAIN_HOOK:
			c.base = true
			return c.hook.parse(value)
		}
		return nil
	})
	return id, c, err
}

func (h *hook) parse(b []byte) error {
	return eachAttr(b, func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_HOOK_HOOKNUM:
			h.num = number(value)
		case unix.NFTA_HOOK_PRIORITY:
			h.priority = int32(number(value))
		case unix.NFTA_HOOK_DEV:
			h.device = text(value)
		}
		return nil
	})
}

func (s *snapshot) addRule(m message, counts map[string]int) error {
	id, chain := tableID{family: m.family}, ""
	err := eachAttr(m.attrs(), func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_RULE_TABLE:
			id.name = text(value)
		case unix.NFTA_RULE_CHAIN:
			chain = text(value)
		}
		return nil
	})
	of := chainName(id, chain)
	counts[of]++
	s.keep(id, fmt.Sprintf("rule %d of %s", counts[of], of), m.attrs())
	return err
}

func (s *snapshot) addSet(m message) error {
	id, found := tableID{family: m.family}, set{}
	var stable []byte
	err := eachAttr(m.attrs(), func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_SET_TABLE:
			id.name = text(value)
		case unix.NFTA_SET_NAME:
			found.name = text(value)
		case unix.NFTA_SET_FLAGS:
			found.flags = number(value)
		case unix.NFTA_SET_KEY_TYPE:
			found.keyType = number(value)
		case unix.NFTA_SET_KEY_LEN:
			found.keyLen = number(value)
		case unix.NFTA_SET_DESC:
			found.size = setSize(value)
		}
		if kind != setAttrCount {
			stable = attr(stable, kind, value)
		}
		return nil
	})
	if t := s.table(id); t != nil {
		t.sets = append(t.sets, found)
	}
	s.keep(id, "set "+found.name+" of "+id.String(), stable)
	return err
}

func setSize(desc []byte) (size uint32) {
	_ = eachAttr(desc, func(kind uint16, value []byte) error {
		if kind == unix.NFTA_SET_DESC_SIZE {
			size = number(value)
		}
		return nil
	})
	return size
}

// addElements takes the elements of one message: of a dynamic set their keys, of
// a constant one all that the kernel says.
func (s *snapshot) addElements(m message, id tableID, of set) error {
	return eachAttr(m.attrs(), func(kind uint16, list []byte) error {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return eachAttr(list, func(_ uint16, e []byte) error {
			key, left, err := parseElement(e)
			if of.dynamic() {
				s.timed = append(s.timed, timedElement{of.name, bytes.Clone(key), left})
			} else {
				s.keep(id, fmt.Sprintf("element %x of set %s of %s", key, of.name, id), e)
			}
			return err
		})
	})
}

// parseElement returns the key of an element, none where it stands for all keys
// (NFT_SET_ELEM_CATCHALL), and the time it has left.
func parseElement(e []byte) (key []byte, left time.Duration, err error) {
	left = forever
	err = eachAttr(e, func(kind uint16, value []byte) error {
		switch kind {
		case unix.NFTA_SET_ELEM_EXPIRATION:
			left = milliseconds(value)
		case unix.NFTA_SET_ELEM_KEY:
			return eachAttr(value, func(kind uint16, value []byte) error {
				if kind == unix.NFTA_DATA_VALUE {
					key = value
				}
				return nil
			})
		}
		return nil
	})
	return key, left, err
}

// differences says in words how the objects differ from what they were.
func differences(before, now []object) []string {
	was := make(map[string][]object, len(before))
	for _, o := range before {
		was[o.name] = append(was[o.name], o)
	}
	var out []string
	for _, o := range now {
		old := was[o.name]
		switch {
		case len(old) == 0:
			out = append(out, o.name+" is not ours")
			continue
		case !bytes.Equal(old[0].body, o.body):
			out = append(out, o.name+" was changed")
		}
		was[o.name] = old[1:]
	}
	for _, o := range before {
		if left := was[o.name]; len(left) > 0 {
			out = append(out, o.name+" is gone")
			was[o.name] = left[1:]
		}
	}
	return out
}

// describe names a foreign table with what it hooks.
func (t *foundTable) describe() string {
	var hooks []string
	for _, c := range t.chains {
		if c.base {
			hooks = append(hooks, fmt.Sprintf("%s chain %s", c.kind, c.name))
		}
	}
	slices.Sort(hooks)
	s := t.id.String() + " is not ours"
	if len(hooks) > 0 {
		s += " and hooks traffic: " + strings.Join(hooks, ", ")
	}
	return s
}
