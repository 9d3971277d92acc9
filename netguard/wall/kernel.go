package wall

import "errors"

// kernel is what is known of the kernel's abilities. The zero kernel can do all;
// what it refuses teaches the rest.
type kernel struct {
	owner    ownership
	noEgress bool
}

// ownership is how tables can be kept from being changed by others.
type ownership int

const (
	// ownedForGood: tables have an owner and stay when it dies (Linux 6.9).
	ownedForGood ownership = iota
	// ownedAlive: a table with an owner goes when it dies (Linux 5.12). The tables
	// belong to nobody then, so that they stay, and each has a double of the same
	// rules that belongs to us: who deletes the one still has the other before him.
	ownedAlive
	// ownedByNobody: what others change is undone when it is seen.
	ownedByNobody
)

// owning gives the tables their flags, and their doubles.
func (k kernel) owning(tables []table) []table {
	var doubles []table
	for i := range tables {
		switch k.owner {
		case ownedForGood:
			tables[i].flags = tableOwner | tablePersist
		case ownedAlive:
			double := tables[i]
			double.name, double.flags = aliveName, tableOwner
			doubles = append(doubles, double)
		}
	}
	return append(tables, doubles...)
}

// learn takes from a refusal what this kernel cannot do, and reports whether it
// is worth another try without.
func (k *kernel) learn(err error) bool {
	var refused *kernelError
	if !errors.As(err, &refused) || refused.kind != ErrUnsupported {
		return false
	}
	switch {
	case refused.part == partFlags && k.owner < ownedByNobody:
		k.owner++
	case refused.part == partEgress && !k.noEgress:
		k.noEgress = true
	default:
		return false
	}
	return true
}

// degraded says in words what is lost, and which kernel has it.
func (k kernel) degraded() []string {
	var out []string
	switch k.owner {
	case ownedAlive:
		out = append(out, "another program can change the tables that stay when this one dies; it is undone when it is seen, and until then doubles of them hold that only this program can change (tables with an owner that outlive it: Linux 6.9)")
	case ownedByNobody:
		out = append(out, "the tables belong to nobody: a change by another program is undone when it is seen, not refused (tables with an owner: Linux 5.12; that outlive it: Linux 6.9)")
	}
	if k.noEgress {
		out = append(out, "frames with a foreign hardware address are not stopped on their way out ("+needsEgress+")")
	}
	return out
}
