package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// socket is where systemd listens for lwcd's orders.
const socket = "/run/lwc/update.sock"

// relay passes an order on to the worker, and its answers back until it ends or ctx
// does. The worker goes on all the same: who asks again learns how it ended.
func relay(ctx context.Context, path string, in io.Reader, out io.Writer) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("reaching the worker: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	text, err := io.ReadAll(io.LimitReader(in, maxOrder))
	if err == nil {
		_, err = conn.Write(text)
	}
	if err != nil {
		return fmt.Errorf("handing over the order: %w", err)
	}
	if _, err := io.Copy(out, conn); err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("passing on the answers: %w", err)
	}
	return ctx.Err()
}
