// Package halves is what the two halves of lwcd say to each other: the
// supervisor, which holds the two ports and all privileges, and the collector
// half, which dials, collects and has none.
//
// They share one pair of connected sockets, made before the collector half is
// started. On it go lines of JSON, each a request with a number or the reply to
// one; either side may ask. [Serve] makes the supervisor's end from what it has to
// [Offer]; [Connect] makes the collector's end. Each end has a Run, which the
// caller runs as long as the connection shall live, and one method for each thing
// that can be asked of the other half.
//
// # Who trusts whom
//
// The collector half talks to devices and to the cloud, so that the supervisor
// takes it for hostile: its lines are at most [MaxUp] bytes long, each is a whole
// request or reply without an unknown field, and the numbers of its requests have
// to grow; a line that breaks one of these rules ends the connection, and the
// half. An unknown call, or arguments that do not fit it, are answered with an
// error. At most [maxServed] requests are served at a time, [perSecond] are begun
// in a second, and what the half leaves unread for [writeLimit] ends the
// connection too. What a request can do is decided by the supervisor alone. None
// widens the list of what may be dialled: until the box has enrolled, asking for the
// token makes the list that of the token, which an administrator put there, and
// after that nothing changes it. The collector half believes the supervisor, but
// bounds what it reads too.
//
// Each request has a time-out on the side that asks; what it waits for on the
// other side ends with the connection at the latest. When the connection ends,
// all that waits for it returns [ErrGone].
package halves
