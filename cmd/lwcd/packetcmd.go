package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/packets"
	"lwc/netguard"
)

// packetCommand is the subcommand that makes a packet socket.
const packetCommand = "packet"

// servePacket is the subcommand that makes one packet socket, for the connection that it
// has as its standard input: lwc-packet.socket starts it. It keeps the two rights that
// this takes.
func servePacket(_ context.Context, args []string, _, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	file, err := net.FileConn(os.Stdin)
	conn, isUnix := file.(*net.UnixConn)
	if len(args) > 0 || err != nil || !isUnix {
		fmt.Fprintln(stderr, "usage: lwcd packet\nMakes a packet socket of an appliance for the connection that is its standard input (lwc-packet.socket).")
		return exitUsage
	}
	confineOrTell(1<<unix.CAP_SYS_ADMIN|1<<unix.CAP_NET_RAW, log)
	if err := packets.Serve(conn, netguard.PacketSocketIn); err != nil {
		log.Error("making a packet socket", "error", err)
		return exitFailed
	}
	return exitStopped
}
