package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unitFolders are where units lie.
var unitFolders = []string{"usr/lib/systemd/system", "etc/systemd/system"}

// units removes the services whose program is gone, and what only starts them.
func (p pruner) units() error {
	for _, dir := range unitFolders {
		services, err := filepath.Glob(filepath.Join(p.root, dir, "*.service"))
		if err != nil {
			return err
		}
		for _, service := range services {
			if err := p.unit(service); err != nil {
				return err
			}
		}
	}
	return nil
}

// unit removes one service when a program of it is not there.
func (p pruner) unit(service string) error {
	info, err := os.Lstat(service)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	text, err := os.ReadFile(service)
	if err != nil {
		return err
	}
	for _, program := range executed(string(text)) {
		if _, err := os.Stat(p.inTree(program)); err == nil {
			continue
		}
		stem := strings.TrimSuffix(service, ".service")
		for _, suffix := range []string{".service", ".socket", ".timer", ".path", ".service.d"} {
			if err := os.RemoveAll(stem + suffix); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// executed returns the programs without which a service fails: those behind "-" may
// be missing (systemd.service(5)).
func executed(unit string) []string {
	var programs []string
	for line := range strings.Lines(unit) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || !strings.HasPrefix(key, "Exec") {
			continue
		}
		command := strings.TrimLeft(value, "-@:+!|")
		fields := strings.Fields(command)
		if len(fields) == 0 || strings.Contains(strings.TrimSuffix(value, command), "-") {
			continue
		}
		if strings.HasPrefix(fields[0], "/") {
			programs = append(programs, fields[0])
		} else {
			programs = append(programs, "/usr/bin/"+fields[0])
		}
	}
	return programs
}

// inTree returns where a path of the appliance lies on this machine; links at its end
// are followed within the tree.
func (p pruner) inTree(name string) string {
	for range 8 {
		target, err := os.Readlink(filepath.Join(p.root, name))
		if err != nil {
			break
		}
		if path.IsAbs(target) {
			name = target
		} else {
			name = path.Join(path.Dir(name), target)
		}
	}
	return filepath.Join(p.root, name)
}

// links removes those that lead nowhere within the tree. A unit that is masked leads
// to /dev/null, and what leads to /run or /proc is there once the machine runs.
func (p pruner) links() error {
	return filepath.WalkDir(p.root, func(full string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		target, err := os.Readlink(full)
		if err != nil {
			return err
		}
		for _, later := range []string{"/dev/", "/run/", "/proc/", "../run", "../proc", "/run"} {
			if strings.HasPrefix(target, later) || target == later {
				return nil
			}
		}
		name, err := filepath.Rel(p.root, full)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(p.inTree("/" + name)); err == nil {
			return nil
		}
		return os.Remove(full)
	})
}

// accounts leaves nobody a shell or a password, and forgets the day on which
// each account was made: it is the day of the build, and two builds of one
// commit are to be the same. An empty field means that no password ages
// (shadow(5)).
func (p pruner) accounts() error {
	if err := p.edit("etc/passwd", func(fields []string) { fields[len(fields)-1] = "/usr/sbin/nologin" }); err != nil {
		return err
	}
	return p.edit("etc/shadow", func(fields []string) { fields[1], fields[2] = "!*", "" })
}

// edit changes the lines of an account file.
func (p pruner) edit(name string, change func(fields []string)) error {
	full := filepath.Join(p.root, name)
	text, err := os.ReadFile(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i, line := range lines {
		if fields := strings.Split(line, ":"); len(fields) > 2 {
			change(fields)
			lines[i] = strings.Join(fields, ":")
		}
	}
	return os.WriteFile(full, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
