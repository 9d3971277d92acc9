// Package junos speaks to Junos devices: a NETCONF session over any
// io.ReadWriteCloser, the compiled-in catalogue of what may be asked, a
// streaming scan of what came back, and the identity facts in it.
//
// Take an Item from Catalogue, Lookup or Profile, Open a Session on a channel
// that runs the netconf subsystem, Call the item, read the Reply to its end and
// then ask it for the Result:
//
//	s, err := junos.Open(ctx, channel, junos.Options{})
//	reply, err := s.Call(ctx, item)
//	_, err = io.Copy(dst, reply)
//	result := reply.Result()
//
// Ahead, with Options.Depth, sends the requests of the Calls to come before they
// are called, which spares a round trip each. A device without NETCONF is asked
// through OpenCLI in the same way, by commands.
//
// What the package guarantees: only items of the catalogue reach a device. A
// reply is handed on as the device sent it, but for what Options.Mask takes out and
// for invalid UTF-8; Result has the hash of the bytes as they came. Memory does not
// grow with the size of a reply, and a session between replies holds no buffer. A
// reply is never taken for the answer to another request, however many are under
// way and whatever became of those before. No input makes it panic. Cancelling the
// context ends every wait, and a device that sends nothing, or next to nothing, is
// told apart from one that is slow.
//
// Errors are of a closed set of kinds, each with what an operator can do about it.
//
// NETCONF is RFC 6241 over the framing of RFC 6242; where Junos differs from
// them, the package follows Junos.
package junos
