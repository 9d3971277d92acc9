package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
)

// halfCommand is the subcommand that is the collector half where systemd starts it.
const halfCommand = "half"

// errUnit says that the unit did not start the half as it has to be.
var errUnit = errors.New("the unit of the collector half is wrong")

// runUnit is the collector half as systemd starts it for a connection of the
// supervisor's, which it has as its standard input (lwc-half.socket): as its user, in a
// network namespace of its own, and with the one capability that entering the ports takes.
func runUnit(ctx context.Context, args []string, _, stderr io.Writer) int {
	conn, err := net.FileConn(os.Stdin)
	up, isUnix := conn.(*net.UnixConn)
	if len(args) > 0 || err != nil || !isUnix {
		fmt.Fprintln(stderr, "usage: lwcd half\nThe collector half of an appliance, for the connection that is its standard input (lwc-half.socket).")
		return exitUsage
	}
	h := newHalf(stderr)
	harden(h.log)
	spaces, err := takeOver(up)
	if err != nil {
		return h.exit(errors.Join(err, up.Close()))
	}
	h.join = func(ctx context.Context, up *halves.Supervisor, view netguard.View, setup halves.Setup) (*netguard.Half, error) {
		return joinAsUnit(ctx, up, view, setup, spaces)
	}
	return h.exit(h.watched(ctx, up))
}

// watched runs the half, and tells systemd that it makes progress. Once it is to end it
// tells no more: one that does not end in time is ended. So is one that does not join in
// time (TimeoutStartSec=): it has a capability until then.
func (h *half) watched(ctx context.Context, conn net.Conn) error {
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	n := newNotifier(h.started, h.progress, func() string { return h.Alive(alive).Status }, h.log)
	n.timely = true
	var notifying sync.WaitGroup
	notifying.Go(func() { n.run(alive) })
	h.ending = func() { n.stopping(); end() }
	err := h.run(ctx, conn)
	end()
	notifying.Wait()
	return err
}

// progress tells whether every task has made progress.
func (h *half) progress(ctx context.Context) error {
	if r := h.Alive(ctx); r.Problem != "" {
		return errors.New(r.Problem)
	}
	return nil
}

// joinAsUnit joins by the namespaces that were handed over. The unit has to have made
// the process what the supervisor wants it to be.
func joinAsUnit(ctx context.Context, up *halves.Supervisor, view netguard.View, setup halves.Setup, spaces []*os.File) (*netguard.Half, error) {
	if err := isUser(setup.UID, setup.GID); err != nil {
		closeFiles(spaces)
		return nil, err
	}
	joined, err := netguard.JoinHanded(ctx, view, spaces, up)
	if err != nil {
		return nil, err
	}
	const sameUser = 0
	if err := joined.DropPrivileges(sameUser, sameUser); err != nil {
		return nil, errors.Join(err, joined.Close())
	}
	return joined, hardenAgain()
}

// isUser makes sure that the process is that user, and of no other group.
func isUser(uid, gid int) error {
	groups, err := os.Getgroups()
	if err != nil {
		return fmt.Errorf("reading own groups: %w", err)
	}
	others := slices.DeleteFunc(groups, func(g int) bool { return g == gid })
	if uid == 0 || os.Getuid() != uid || os.Geteuid() != uid || os.Getegid() != gid || len(others) > 0 {
		return fmt.Errorf("%w: it was started as user %d, group %d, other groups %v, and must be user %d, group %d (guard.user)",
			errUnit, os.Geteuid(), os.Getegid(), others, uid, gid)
	}
	return nil
}
