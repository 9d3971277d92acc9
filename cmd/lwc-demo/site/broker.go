package site

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// startMosquitto runs mosquitto as the broker between the collector and the
// cloud, with certificates of the cloud's CA and the access list that the
// project ships.
func (s *Site) startMosquitto(ctx context.Context) error {
	if s.mosquitto != nil {
		return nil
	}
	dir := s.path("broker")
	if _, err := s.Cloud(ctx, "broker-cert", "--data", s.CloudData(), "--host", cloudAddr, "--host", s.cfg.cloudAt(), "--out", dir); err != nil {
		return err
	}
	shipped, err := os.ReadFile(filepath.Join(dir, "mosquitto.conf"))
	if err != nil {
		return err
	}
	// As shipped, with its files in the site's folder. It stays the user that
	// started it: the key is readable by no other.
	conf := s.path("broker", "site.conf")
	own := append(bytes.ReplaceAll(shipped, []byte("/etc/mosquitto/lwc"), []byte(dir)), "user root\n"...)
	listener := "listener " + brokerPort
	own = bytes.Replace(own, []byte(listener), []byte(listener+" "+s.cfg.cloudAt()), 1)
	if err := os.WriteFile(conf, own, 0o600); err != nil {
		return err
	}
	return s.runMosquitto(ctx)
}

// runMosquitto starts mosquitto as it was configured, and waits until it listens.
func (s *Site) runMosquitto(ctx context.Context) error {
	var err error
	if s.mosquitto, err = s.start(s.cnet, io.Discard, s.cfg.Mosquitto, "-c", s.path("broker", "site.conf")); err != nil {
		return err
	}
	return s.mosquitto.waitFor(ctx, "mosquitto to listen", func() bool {
		c, err := s.cnet.dial(ctx, net.JoinHostPort(s.cfg.cloudAt(), brokerPort))
		if err == nil {
			err = c.Close()
		}
		return err == nil
	})
}

// Forward carries connections of a listener outside to the cloud end, until the
// context ends.
func (s *Site) Forward(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var carried sync.WaitGroup
	defer carried.Wait()
	for {
		in, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting for the portal: %w", err)
		}
		carried.Go(func() { s.carry(ctx, in) })
	}
}

// carry copies both ways until one side ends.
func (s *Site) carry(ctx context.Context, in net.Conn) {
	defer in.Close()
	dialing, cancel := context.WithTimeout(ctx, 5*time.Second)
	out, err := s.cnet.dial(dialing, net.JoinHostPort(cloudAddr, cloudPort))
	cancel()
	if err != nil {
		return // the browser sees a closed connection, as from a cloud that is down
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	back := make(chan struct{})
	go func() {
		defer close(back)
		defer in.Close()
		_, _ = io.Copy(in, out) // a cut connection is the normal end
	}()
	_, _ = io.Copy(out, in)
	out.Close()
	<-back
}
