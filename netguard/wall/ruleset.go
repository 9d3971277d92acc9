package wall

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// tableName is the name of both tables, inet and netdev; aliveName that of their
// doubles, where there are any.
const (
	tableName = "lwc"
	aliveName = "lwc_alive"
)

// Flags of a table (include/uapi/linux/netfilter/nf_tables.h). An owned table can
// be changed only over the socket that owns it; a persistent one outlives it.
const (
	tableDormant   = 0x1
	tableOwner     = 0x2
	tablePersist   = 0x4
	tableAttrOwner = 7
)

// table is one nftables table as it has to be.
type table struct {
	name   string
	family byte
	flags  uint32
	chains []chain
	sets   []set
}

func (t table) String() string { return t.id().String() }

func (t table) id() tableID { return tableID{t.family, t.name} }

// chain is a base chain with its rules.
type chain struct {
	name  string
	hook  hook
	needs string // what a kernel without the hook lacks
	rules []rule
}

// hook is where a base chain stands.
type hook struct {
	num      uint32
	priority int32
	device   string // of the netdev family
}

// rule is a condition whose packets are accepted, or dropped.
type rule struct {
	comment string
	exprs   []expr.Any
	needs   string // what a kernel without the expressions lacks
}

// set is a named set.
type set struct {
	name     string
	flags    uint32
	keyType  uint32 // as nft numbers them, so that it can show the elements
	keyLen   uint32
	size     uint32 // zero: as many as are given
	elements []element
}

// element is one member of a set, or one end of an interval in it.
type element struct {
	key []byte
	end bool          // the first key behind an interval
	ttl time.Duration // zero: for good
}

func (s set) dynamic() bool { return s.flags&unix.NFT_SET_TIMEOUT != 0 }

// elementsPerRequest keeps the list of elements under the 64 KiB of an attribute.
const elementsPerRequest = 400

// operation is a request with what it means.
type operation struct {
	request
	doing string // gerund and subject
	needs string // what a kernel that refuses it lacks
	part  part
}

// part is what an operation is about, where a refusal can be lived with.
type part int

const (
	partOther part = iota
	partFlags      // the flags of a table of ours
	partEgress
)

const (
	needsTables = "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET and CONFIG_NF_TABLES_NETDEV (Linux 4.2)"
	needsFib    = "CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6 (Linux 4.10)"
	needsCt     = "CONFIG_NF_CONNTRACK and CONFIG_NFT_CT (Linux 3.14)"
	needsSets   = "sets of nftables with time-outs (Linux 4.1)"
	needsEgress = "CONFIG_NETFILTER_EGRESS (Linux 5.16)"
)

func (t table) create() operation {
	attrs := attrText(nil, unix.NFTA_TABLE_NAME, t.name)
	attrs = attr32(attrs, unix.NFTA_TABLE_FLAGS, t.flags)
	return operation{request{unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, t.family, 0, attrs},
		"making " + t.String(), needsTables, partFlags}
}

func (id tableID) remove() operation {
	return operation{request{unix.NFT_MSG_DELTABLE, 0, id.family, 0, attrText(nil, unix.NFTA_TABLE_NAME, id.name)},
		"deleting " + id.String(), "", partOther}
}

// flush deletes every rule of the table.
func (t table) flush() operation {
	return operation{request{unix.NFT_MSG_DELRULE, 0, t.family, 0, attrText(nil, unix.NFTA_RULE_TABLE, t.name)},
		"emptying " + t.String(), "", partOther}
}

// create makes the chain with policy drop, or sets the policy of one that is there.
func (c chain) create(t table) operation {
	at := attr32(nil, unix.NFTA_HOOK_HOOKNUM, c.hook.num)
	at = attr32(at, unix.NFTA_HOOK_PRIORITY, uint32(c.hook.priority))
	what := partOther
	if t.family == unix.NFPROTO_NETDEV && c.hook.num == hookEgress {
		what = partEgress
	}
	if t.family == unix.NFPROTO_NETDEV {
		at = attrText(at, unix.NFTA_HOOK_DEV, c.hook.device)
	}
	attrs := attrText(nil, unix.NFTA_CHAIN_TABLE, t.name)
	attrs = attrText(attrs, unix.NFTA_CHAIN_NAME, c.name)
	attrs = nested(attrs, unix.NFTA_CHAIN_HOOK, at)
	attrs = attr32(attrs, unix.NFTA_CHAIN_POLICY, policyDrop)
	attrs = attrText(attrs, unix.NFTA_CHAIN_TYPE, "filter")
	return operation{request{unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, t.family, 0, attrs},
		"making chain " + c.name + " of " + t.String(), c.needs, what}
}

func (r rule) create(t table, c chain) (operation, error) {
	var exprs []byte
	for _, e := range r.exprs {
		b, err := expr.Marshal(t.family, e)
		if err != nil {
			return operation{}, fmt.Errorf("encoding %T: %w", e, err)
		}
		exprs = nested(exprs, unix.NFTA_LIST_ELEM, b)
	}
	attrs := attrText(nil, unix.NFTA_RULE_TABLE, t.name)
	attrs = attrText(attrs, unix.NFTA_RULE_CHAIN, c.name)
	attrs = nested(attrs, unix.NFTA_RULE_EXPRESSIONS, exprs)
	if r.comment != "" {
		attrs = attr(attrs, unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.comment))
	}
	return operation{request{unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE | unix.NLM_F_APPEND, t.family, 0, attrs},
		fmt.Sprintf("adding rule %q to chain %s of %s", r.comment, c.name, t), r.needs, partOther}, nil
}

func (s set) create(t table, id uint32) operation {
	attrs := attrText(nil, unix.NFTA_SET_TABLE, t.name)
	attrs = attrText(attrs, unix.NFTA_SET_NAME, s.name)
	attrs = attr32(attrs, unix.NFTA_SET_FLAGS, s.flags)
	attrs = attr32(attrs, unix.NFTA_SET_KEY_TYPE, s.keyType)
	attrs = attr32(attrs, unix.NFTA_SET_KEY_LEN, s.keyLen)
	if s.size != 0 {
		attrs = nested(attrs, unix.NFTA_SET_DESC, attr32(nil, unix.NFTA_SET_DESC_SIZE, s.size))
	}
	attrs = attr32(attrs, unix.NFTA_SET_ID, id)
	return operation{request{unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, t.family, 0, attrs},
		"making " + s.in(t), needsSets, partOther}
}

func (s set) in(t table) string { return "set " + s.name + " of " + t.String() }

func (s set) remove(t table) operation {
	attrs := attrText(attrText(nil, unix.NFTA_SET_TABLE, t.name), unix.NFTA_SET_NAME, s.name)
	return operation{request{unix.NFT_MSG_DELSET, 0, t.family, 0, attrs}, "deleting " + s.in(t), "", partOther}
}

// change adds the elements or, with NFT_MSG_DELSETELEM, takes them away. It needs
// no more of the kernel than the set itself did.
func (s set) change(t table, kind uint16, elements []element) []operation {
	flags := uint16(0)
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	var ops []operation
	for some := range slices.Chunk(elements, elementsPerRequest) {
		attrs := attrText(attrText(nil, unix.NFTA_SET_ELEM_LIST_TABLE, t.name), unix.NFTA_SET_ELEM_LIST_SET, s.name)
		attrs = nested(attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS, encodeElements(some))
		ops = append(ops, operation{request{kind, flags, t.family, 0, attrs}, "changing the elements of " + s.in(t), "", partOther})
	}
	return ops
}

func encodeElements(elements []element) []byte {
	var list []byte
	for _, e := range elements {
		b := nested(nil, unix.NFTA_SET_ELEM_KEY, attr(nil, unix.NFTA_DATA_VALUE, e.key))
		if e.end {
			b = attr32(b, unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		}
		if e.ttl > 0 {
			b = attr64(b, unix.NFTA_SET_ELEM_TIMEOUT, uint64(max(e.ttl.Milliseconds(), 1)))
		}
		list = nested(list, unix.NFTA_LIST_ELEM, b)
	}
	return list
}

func familyName(family byte) string {
	switch family {
	case unix.NFPROTO_INET:
		return "inet"
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_ARP:
		return "arp"
	case unix.NFPROTO_NETDEV:
		return "netdev"
	case unix.NFPROTO_BRIDGE:
		return "bridge"
	case unix.NFPROTO_IPV6:
		return "ip6"
	}
	return fmt.Sprintf("family %d", family)
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func big16(v uint16) []byte    { return binary.BigEndian.AppendUint16(nil, v) }
