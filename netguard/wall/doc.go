// Package wall builds the nftables tables of one port namespace: the second
// wall behind the namespace itself.
//
//	w, err := wall.Open(ns)
//	err = w.Apply(port)             // one transaction, also when it replaces
//	problems, err := w.Check(port)  // is it still as Apply left it?
//	err = w.Permit(addrs, false, ttl)
package wall
