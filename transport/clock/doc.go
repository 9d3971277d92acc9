// Package clock keeps the clock of the machine right by NTP (RFC 5905), through
// a dial function of the caller's.
//
// Start with [New] and [Clock.Run]; what each round found comes by
// [Config.Report]. Small offsets are slewed by the kernel, which learns the
// frequency of the machine's oscillator from them; one above [StepOver] is
// stepped, and then only when a second round confirms it.
//
// It guarantees that no step leads before [Config.NotBefore], that of two or
// more servers that answer a strict majority has to agree, that a server which
// says that it is not synchronised, or answers absurdly, is not listened to,
// and that one which says "go away" is not asked again. Where the clock may not
// be set, rounds go on and tell the offset alone.
package clock
