//go:build race

package junos

// hugeReply is ten times smaller where the race detector makes all ten times
// slower.
const hugeReply = 20
