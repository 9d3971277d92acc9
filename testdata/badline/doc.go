// Package badline is a line that goes bad when told to: a TCP proxy for tests that
// ends, resets, delays and slows connections, swallows their bytes, and leaves one
// end of them in the belief that the other is there.
//
// Start with [New], run [Line.Run] in a goroutine, and let what is tested dial
// [Line.Addr] in place of the target; a test calls [Start], which does all three.
// A fault that is done to connections (Cut, Reset, HalfOpen, HalfOpenFar) touches
// those that are there. A condition (Refuse, BlackHole, Delay, Rate) holds for those
// that are there and those that come, until [Line.Heal].
//
// It guarantees that the bytes of a connection stay in order and whole up to the
// point where a fault ends it, and that Run ends all goroutines before it returns.
// The program in the folder run does the same by words on its standard input.
package badline
