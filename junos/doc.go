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
// What the package guarantees: only items of the catalogue reach a device. A
// reply is handed on byte for byte as the device sent it, and memory does not
// grow with its size. A reply is never taken for the answer to another request.
// No input makes it panic. Cancelling the context ends every wait.
//
// NETCONF is RFC 6241 over the framing of RFC 6242; where Junos differs from
// them, the package follows Junos.
package junos
