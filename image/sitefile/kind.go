package sitefile

// Kind says in one word what sort of problem it is: a closed set, which the field
// guide has a row for each of.
type Kind string

// The kinds of problems that a file can have.
const (
	KindUnreadable Kind = "unreadable"  // not a text, cut off, too large, in an encoding that cannot be told
	KindOtherFile  Kind = "other-file"  // a text of another sort: a web page, a certificate, the token alone
	KindSyntax     Kind = "syntax"      // a line that is not key = value
	KindUnknownKey Kind = "unknown-key" // a key or a section that the file does not have
	KindMisplaced  Kind = "misplaced"   // a key in the wrong section
	KindTwice      Kind = "twice"       // a key that stands there twice
	KindType       Kind = "type"        // a number for a text, and the like
	KindMissing    Kind = "missing"     // a key that has to be there, or to be filled in
	KindToken      Kind = "token"       // a token that is none, or damaged
	KindTokenUsed  Kind = "token-used"  // a token that did its work
	KindCloud      Kind = "cloud"       // endpoint, ca_pin or collector_id
	KindMAC        Kind = "mac"         // a hardware address that is none
	KindNetwork    Kind = "network"     // an address, gateway, route, server, port, VLAN or MTU
	KindOverlap    Kind = "overlap"     // the two ports are one socket, or in one network
	KindProxy      Kind = "proxy"       // the proxy, its log-in or its authorities
	KindMore       Kind = "more"        // there are more than fit
)

// Kinds is all of them, in the order of the field guide.
func Kinds() []Kind {
	return []Kind{KindUnreadable, KindOtherFile, KindSyntax, KindUnknownKey, KindMisplaced, KindTwice, KindType, KindMissing,
		KindToken, KindTokenUsed, KindCloud, KindMAC, KindNetwork, KindOverlap, KindProxy, KindMore}
}
