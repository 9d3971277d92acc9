// Package download fetches large files over HTTPS, through a dial function and over
// lines that break.
//
// A [Client] is a value; [Client.File] fetches one file whose size and hash are known
// before, into a path, and goes on where it was when the connection ends, also where
// an earlier process left the file (RFC 9110, section 14: Range, If-Range with the
// strong ETag of the same file). [Client.Small] fetches a short text into memory.
//
// What it guarantees: a file that File returned nil for has the size and the SHA-256
// that were asked for; never more bytes than that size are written or, for Small,
// held; nothing is believed of the server but what these two say, and no redirect is
// followed. It waits and tries again while it makes progress, and gives up with the
// last reason after [Client.Tries] attempts in a row that brought nothing, at once
// where the server refuses (4xx), and when the context ends.
package download
