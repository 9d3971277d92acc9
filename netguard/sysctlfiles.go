package netguard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// openSettings are the files of settings, kept open: a pread costs a twentieth of
// opening them anew, can be done each second, and on any thread, because a file
// below /proc/sys/net belongs to the namespace of the thread that opened it. The
// kernel tells nobody when one of arp_*, accept_*, route_localnet and the like
// changes.
type openSettings struct {
	settings []setting
	files    []int // -1 where the kernel has no such setting
}

// wrong returns the settings that do not have their value, in words. It must not
// run twice at the same time.
func (n *namespace) wrong(ctx context.Context, settings []setting) ([]string, error) {
	if !slices.Equal(n.settings.settings, settings) {
		if err := n.reopenSettings(ctx, settings); err != nil {
			return nil, err
		}
	}
	all, err := n.settings.wrong()
	if err == nil {
		return all, nil
	}
	// The link went away or was renamed, and its folder with it.
	if err := n.reopenSettings(ctx, settings); err != nil {
		return nil, err
	}
	return n.settings.wrong()
}

func (n *namespace) reopenSettings(ctx context.Context, settings []setting) error {
	n.settings.close()
	return n.do(ctx, func() error { return n.settings.open(settings, !n.joined) })
}

// open opens the files on the namespace's thread.
func (o *openSettings) open(settings []setting, writable bool) error {
	for _, s := range settings {
		fd, err := s.open(writable)
		if err != nil {
			o.close()
			return err
		}
		o.files = append(o.files, fd)
	}
	o.settings = settings
	return nil
}

func (o *openSettings) close() {
	for _, fd := range o.files {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	o.settings, o.files = nil, nil
}

func (s setting) open(writable bool) (int, error) {
	path := filepath.Join(sysctlRoot, s.path)
	fd, err := -1, error(unix.EACCES)
	if writable {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) // to be looked at alone
	}
	switch {
	case errors.Is(err, unix.ENOENT) && s.path == "ipv4/ip_forward":
		return -1, errNoSysctl()
	case errors.Is(err, unix.ENOENT): // without IPv6 there are none of its settings
		return -1, nil
	case err != nil:
		return -1, fmt.Errorf("opening sysctl net/%s: %w", s.path, err)
	}
	return fd, nil
}

func (o *openSettings) wrong() ([]string, error) {
	var all []string
	err := o.each(func(_ int, s setting, have string) error {
		all = append(all, fmt.Sprintf("net/%s is %s, must be %s", s.path, have, s.value))
		return nil
	})
	return all, err
}

// each calls f, in their order, for the settings that do not have their value.
func (o *openSettings) each(f func(fd int, s setting, have string) error) error {
	b := make([]byte, 64)
	for i, s := range o.settings {
		if o.files[i] < 0 {
			continue
		}
		n, err := unix.Pread(o.files[i], b, 0)
		if err != nil {
			return fmt.Errorf("reading sysctl net/%s: %w", s.path, err)
		}
		if have := strings.TrimSpace(string(b[:n])); have != s.value {
			if err := f(o.files[i], s, have); err != nil {
				return err
			}
		}
	}
	return nil
}

// correct writes the settings that do not have their value.
func (o *openSettings) correct() error {
	return o.each(func(fd int, s setting, _ string) error {
		if _, err := unix.Pwrite(fd, []byte(s.value), 0); err != nil {
			return fmt.Errorf("writing sysctl net/%s: %w", s.path, sysctlError(err))
		}
		return nil
	})
}
