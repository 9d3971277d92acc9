package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"lwc/netguard"
)

// silentLimit is how long a setting may last of whose change the kernel tells
// nobody.
const silentLimit = 1500 * time.Millisecond

// hostileSettings are what each of them must not become, by family, for "all",
// "default" and the port.
func hostileSettings(port string) (paths []string, hostile map[string]string) {
	hostile = map[string]string{"ipv4/ip_nonlocal_bind": "1", "ipv6/ip_nonlocal_bind": "1"}
	each := map[string]map[string]string{
		"ipv4": {"accept_redirects": "1", "secure_redirects": "1", "send_redirects": "1", "accept_source_route": "1",
			"accept_local": "1", "route_localnet": "1", "bootp_relay": "1", "src_valid_mark": "1", "rp_filter": "0",
			"proxy_arp": "1", "proxy_arp_pvlan": "1", "arp_ignore": "0", "arp_announce": "0", "arp_accept": "1"},
		"ipv6": {"accept_ra": "2", "accept_redirects": "1", "accept_source_route": "1", "autoconf": "1", "use_tempaddr": "2",
			"proxy_ndp": "1", "router_solicitations": "3", "seg6_enabled": "1", "rpl_seg_enabled": "1"},
	}
	for family, settings := range each {
		for name, value := range settings {
			for _, device := range []string{"all", "default", port} {
				hostile[family+"/conf/"+device+"/"+name] = value
			}
		}
	}
	for path := range hostile {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths, hostile
}

// silent measures how long each such setting lasts, in both namespaces.
func (b *guardBench) silent(ctx context.Context) error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	worst, where, number := time.Duration(0), "", 0
	for _, namespace := range []string{netguard.InternalNamespace, netguard.ExternalNamespace} {
		lasted, err := s.tamper(ctx, namespace)
		if err != nil {
			return err
		}
		var times spread
		for path, d := range lasted {
			times = append(times, d)
			if d > worst {
				worst, where = d, namespace+" "+path
			}
		}
		number += len(times)
		b.say("%s: %d settings, p50 %.0f ms, longest %.0f ms", namespace, len(times), ms(times.at(0.5)), ms(times.at(1)))
	}
	b.say("longest of %d: %s", number, where)
	b.goal("netguard-silent-setting-ms", ms(worst), ms(silentLimit))
	return nil
}

// between is the time between two changes: it shares no multiple with a second, so
// that each falls elsewhere between two looks of the guard.
const between = 173 * time.Millisecond

// tamper changes one setting after the other and returns how long each lasted.
func (s *guardSite) tamper(ctx context.Context, namespace string) (lasted map[string]time.Duration, err error) {
	g, err := s.up(ctx, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	h, err := s.inside(namespace)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	port, err := portOf(h, s)
	if err != nil {
		return nil, err
	}
	t := tampering{lasted: map[string]time.Duration{}, since: map[string]time.Time{}, was: map[string]string{}}
	t.paths, t.hostile = hostileSettings(port)
	err = h.Do(func() error { return t.run(ctx) })
	return t.lasted, err
}

// tampering runs on a thread inside the namespace.
type tampering struct {
	paths   []string
	hostile map[string]string
	was     map[string]string
	since   map[string]time.Time // of those that are hostile now
	lasted  map[string]time.Duration
}

func (t *tampering) run(ctx context.Context) error {
	for next := time.Now(); len(t.paths) > 0 || len(t.since) > 0; {
		if len(t.paths) > 0 && !time.Now().Before(next) {
			next = next.Add(between)
			path := t.paths[0]
			t.paths = t.paths[1:]
			if err := t.change(path); err != nil {
				return err
			}
		}
		if err := t.look(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		rest()
	}
	return nil
}

func (t *tampering) change(path string) error {
	was, err := readSysctl(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not every kernel has every setting
	}
	if err != nil {
		return err
	}
	if was == t.hostile[path] {
		return fmt.Errorf("changing %s: it is %s before", path, was)
	}
	t.was[path], t.since[path] = was, time.Now()
	return writeSysctl(path, t.hostile[path])
}

func (t *tampering) look() error {
	for path, since := range t.since {
		value, err := readSysctl(path)
		if err != nil {
			return err
		}
		took := time.Since(since)
		if value != t.was[path] && took > tooLong {
			return fmt.Errorf("waiting for %s: still %s after %v", path, value, tooLong)
		}
		if value == t.was[path] {
			t.lasted[path] = took
			delete(t.since, path)
		}
	}
	return nil
}
