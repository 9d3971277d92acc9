package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"lwc/cmd/lwcd/rights"
)

// What goes over the connection to a half that systemd starts, before the lines of the
// package halves: one byte, and with it the namespaces of the two ports. Their names
// would mean nothing to the half: they stand in the supervisor's own mount namespace.
const (
	handoverMark = 'n'
	// handoverLimit is how long either side may take: systemd starts the half meanwhile.
	handoverLimit = 10 * time.Second
	namespaces    = 2
)

// errHandover says that a connection did not begin as it has to.
var errHandover = errors.New("the namespaces of the two ports were not handed over")

// handOver sends the namespaces.
func handOver(conn *net.UnixConn, spaces []*os.File) error {
	if err := conn.SetWriteDeadline(time.Now().Add(handoverLimit)); err != nil {
		return err
	}
	err := rights.Send(conn, []byte{handoverMark}, spaces...)
	return errors.Join(err, conn.SetWriteDeadline(time.Time{}))
}

// takeOver receives what handOver sent. The caller closes the files.
func takeOver(conn *net.UnixConn) ([]*os.File, error) {
	if err := conn.SetReadDeadline(time.Now().Add(handoverLimit)); err != nil {
		return nil, err
	}
	mark := make([]byte, 1)
	n, files, err := rights.Receive(conn, mark, namespaces)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHandover, err)
	}
	if n != 1 || mark[0] != handoverMark || len(files) != namespaces {
		err = fmt.Errorf("%w: %d bytes and %d descriptors came", errHandover, n, len(files))
	}
	if err = errors.Join(err, conn.SetReadDeadline(time.Time{})); err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

// closeFiles lets files go that were read from at most.
func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
