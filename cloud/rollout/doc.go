// Package rollout decides which box takes which release, and when. It is pure: it
// reads no clock and no store.
//
// A [Policy] says when the box of one collector may change: at any time, in a window,
// or after an approval; how many days a release has to have been out; and whether a
// release that closes a hole waits as long. [Judge] says what becomes of one box, in
// words that a person is shown, and [Orders] what is to be sent to all of them now.
//
// A release reaches a fleet in waves: one box first, then twice as many as have it,
// so that a bad one is met by few. It is held back by itself when it fails on several
// boxes and on more than a tenth of those that tried it.
package rollout
