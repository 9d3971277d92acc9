package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	dir, listen, mqttListen string
	broker, brokerCA        string
	readyFile               string
	publicURLs, endpoints   several
	logFormat, logLevel     string
}

func serveCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o serveOptions
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.StringVar(&o.dir, "data", "", "`DIR` that keeps the database and the keys; made the first time")
	fs.StringVar(&o.listen, "listen", ":8443", "`ADDRESS` to listen on, for collectors and browsers alike")
	fs.Var(&o.publicURLs, "public-url", "`URL` by which collectors and browsers reach this, https://HOST:PORT; the first stands in tokens; may be repeated (default https://localhost:PORT)")
	fs.StringVar(&o.mqttListen, "mqtt-listen", "", "second `ADDRESS`, for collectors alone, :8883 say; for sites whose way out does not let MQTT pass on the port of --listen")
	fs.Var(&o.endpoints, "endpoint", "`URL` of a way to the broker, as collectors reach it: mqtts://HOST:PORT, mqtts://HOST:PORT?alpn=mqtt or wss://HOST:PORT/PATH; may be repeated, in the order to try (default: made of --public-url and --mqtt-listen, or of --broker)")
	fs.StringVar(&o.broker, "broker", "", "`URL` of a broker of your own, mqtts://HOST:8883, in place of the built-in one; see broker-cert")
	fs.StringVar(&o.brokerCA, "broker-ca", "", "`FILE` with the certificate authority of that broker (default: that of DIR)")
	fs.StringVar(&o.readyFile, "ready-file", "", "`FILE` to write url, admin_link and ca_file to, as JSON, once this serves")
	fs.StringVar(&o.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	if err := parse(fs, args, "Runs the cloud end until it is interrupted. --data DIR is all it needs", stdout); err != nil {
		return helped(err)
	}
	log, err := newLogger(stderr, o.logFormat, o.logLevel)
	if err != nil {
		return err
	}
	d, err := openData(ctx, o.dir, true)
	if err != nil {
		return err
	}
	return errors.Join(serve(ctx, d, o, log, stdout), d.Close())
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageErrorf("--log-level %q must be debug, info, warn or error", level)
	}
	switch o := (&slog.HandlerOptions{Level: l}); format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usageErrorf("--log-format %q must be text or json", format)
}

// serve runs all parts over one data folder until ctx is cancelled.
func serve(ctx context.Context, d *data, o serveOptions, log *slog.Logger, stdout io.Writer) (err error) {
	for _, given := range o.publicURLs {
		if _, err := publicURL(given); err != nil {
			return err
		}
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer l.Close()
	urls, err := publicURLs(o.publicURLs, l.Addr())
	if err != nil {
		return err
	}
	if err := d.saveSettings(settings{PublicURLs: texts(urls)}); err != nil {
		return err
	}
	more, err := listenMQTT(ctx, o)
	if err != nil {
		return err
	}
	for _, m := range more {
		defer m.Close()
	}
	c, err := build(ctx, d, o, urls, more, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.bus.Close()) }()
	return c.run(ctx, l, more, func(ctx context.Context) error { return announce(ctx, d, o, l.Addr(), stdout) })
}

// listenMQTT opens the listener for collectors alone, if one is wanted.
func listenMQTT(ctx context.Context, o serveOptions) ([]net.Listener, error) {
	if o.mqttListen == "" {
		return nil, nil
	}
	if o.broker != "" {
		return nil, usageErrorf("--mqtt-listen is for the built-in broker; collectors reach yours by --broker and --endpoint")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.mqttListen)
	if err != nil {
		return nil, fmt.Errorf("listening for collectors: %w", err)
	}
	return []net.Listener{l}, nil
}

// run starts the parts in the order in which they need each other, and stops
// them the other way round: what came in through the gate is still answered.
func (c *cloud) run(ctx context.Context, l net.Listener, more []net.Listener, ready func(context.Context) error) error {
	g, gctx := errgroup.WithContext(ctx)
	hubCtx, stopHub := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHub()
	g.Go(func() error { return c.hub.Run(hubCtx) })
	// Before the hub has noted until when nobody listened, every box may look silent.
	listening := func(part func(context.Context) error) error {
		select {
		case <-c.bus.handled:
			return part(gctx)
		case <-gctx.Done():
			return nil
		}
	}
	g.Go(func() error { return listening(c.sweep) })
	g.Go(func() error { return listening(c.plan.Run) })
	g.Go(func() error {
		defer stopHub()
		return listening(func(gctx context.Context) error {
			if err := ready(gctx); err != nil {
				return err
			}
			c.log.Info("serving", "address", l.Addr().String(), "version", version)
			return c.gate.Serve(gctx, l, more...)
		})
	})
	err := g.Wait()
	if ctx.Err() != nil {
		c.log.Info("stopped")
	}
	return err
}

// sweepEvery is how often expired sessions, tokens and jobs are looked for.
const sweepEvery = time.Minute

func (c *cloud) sweep(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		if err := c.store.Sweep(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("sweeping", "error", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// publicURLs returns the URLs to be reached by: as given, or else made of the
// address of the listener.
func publicURLs(given []string, addr net.Addr) ([]*url.URL, error) {
	if len(given) == 0 {
		host, port, err := net.SplitHostPort(addr.String())
		if err != nil {
			return nil, fmt.Errorf("reading the address of the listener: %w", err)
		}
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
			host = "localhost"
		}
		given = []string{"https://" + net.JoinHostPort(host, port)}
	}
	var urls []*url.URL
	for _, s := range given {
		u, err := publicURL(s)
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	return urls, nil
}

func texts(urls []*url.URL) (out []string) {
	for _, u := range urls {
		out = append(out, strings.TrimSuffix(u.String(), "/"))
	}
	return out
}
