//go:build !race

package junos

// hugeReply is in MiB.
const hugeReply = 200
