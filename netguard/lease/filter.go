package lease

import (
	"encoding/binary"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/bpf"
)

// packetOtherHost is PACKET_OTHERHOST of linux/if_packet.h.
const packetOtherHost = 3

// filter lets through unfragmented UDP datagrams to the client's port that carry
// the transaction number, when they are for this host and in no VLAN. It sees
// packets from the IPv4 header on. Whatever else arrives, and however fast, costs
// the process nothing.
func filter(xid dhcpv4.TransactionID) ([]bpf.RawInstruction, error) {
	const drop = 0
	var p []bpf.Instruction
	p = append(p,
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOtherHost, SkipTrue: 12},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 10},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: 8},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 6},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: clientPort, SkipTrue: 3},
		bpf.LoadIndirect{Off: udpHeader + 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(xid[:]), SkipTrue: 1},
		bpf.RetConstant{Val: maxDatagram},
		bpf.RetConstant{Val: drop},
	)
	return bpf.Assemble(p)
}
