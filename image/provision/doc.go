// Package provision gives a box its settings: it looks for lwc.toml on the volumes
// that are there, checks it, keeps what lasts, hands lwcd its configuration and its
// token, and overwrites the token on its volume once the box has enrolled.
//
// [Provisioner.Look] is one look at all volumes; it is called again and again. It
// changes nothing unless a file is good as a whole: a box without settings keeps
// both ports down, one with settings goes on with them. What it found stands in the
// [Status], which the screen shows.
//
// Volumes are hostile: they are bounded, mounted without rights and read-only, and
// a file system that the kernel cannot read is a problem that is told, not an end.
package provision
