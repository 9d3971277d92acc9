package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// wanted are the modules that the tests and their attacks use, each with what must
// be there before it. One that a kernel has built in needs no loading. They are all
// loaded at the start: there is no modprobe that the kernel could call.
func wanted() []string {
	return strings.Fields(`crc32c_generic veth 8021q bridge br_netfilter macvlan macvtap tun dummy
		nfnetlink nf_conntrack nf_tables nft_ct nft_fib_inet nft_fib_netdev nft_limit nft_reject_inet nft_log nft_nat
		sch_ingress cls_u32 cls_bpf cls_matchall act_mirred
		inet_diag tcp_diag udp_diag raw_diag af_packet af_packet_diag netlink_diag
		vrf ipvlan bonding sctp nf_flow_table nf_flow_table_inet`)
}

// optional are those without which the tests still mean something.
func optional() []string {
	return strings.Fields(`crc32c_generic macvtap tun dummy nft_log nft_nat cls_matchall af_packet_diag netlink_diag raw_diag
		vrf ipvlan bonding sctp nf_flow_table nf_flow_table_inet`)
}

// module is one file, uncompressed.
type module struct {
	name    string // as in "8021q.ko"
	content []byte
}

// modules is the modules of one kernel.
type modules struct {
	files   map[string]string // by name with underscores
	builtin map[string]bool
	loaded  map[string]bool
	order   []module
}

func openModules(folder string) (*modules, error) {
	m := &modules{files: map[string]string{}, builtin: map[string]bool{}, loaded: map[string]bool{}}
	text, err := os.ReadFile(filepath.Join(folder, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("reading what the kernel has built in: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		m.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".ko") {
			m.files[moduleName(path)] = path
		}
		return err
	})
	return m, err
}

// moduleName is the name by which the kernel calls the module of a file.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// add appends a module after all that it needs. missing is the first of them that
// the kernel does not have.
func (m *modules) add(ctx context.Context, name string) (missing string, err error) {
	name = strings.ReplaceAll(name, "-", "_")
	if m.builtin[name] || m.loaded[name] {
		return "", nil
	}
	file, ok := m.files[name]
	if !ok {
		return name, nil
	}
	content, err := readModule(ctx, file)
	if err != nil {
		return "", err
	}
	needs, err := dependsOn(content)
	if err != nil {
		return "", fmt.Errorf("reading the kernel module %s: %w", name, err)
	}
	for _, n := range needs {
		if missing, err := m.add(ctx, n); missing != "" || err != nil {
			return missing, err
		}
	}
	m.loaded[name] = true
	m.order = append(m.order, module{name + ".ko", content})
	return "", nil
}

// readModule returns a module's file, which some releases compress.
func readModule(ctx context.Context, file string) ([]byte, error) {
	switch filepath.Ext(file) {
	case ".xz":
		return output(exec.CommandContext(ctx, "xz", "-dc", file))
	case ".zst":
		return output(exec.CommandContext(ctx, "zstd", "-dcq", file))
	}
	return os.ReadFile(file)
}

// dependsOn reads the names that depmod reads too: the package has no modules.dep,
// which is made when a kernel is installed.
func dependsOn(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("looking for the section .modinfo: %w", fs.ErrNotExist)
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if names, ok := strings.CutPrefix(field, "depends="); ok && names != "" {
			return strings.Split(names, ","), nil
		}
	}
	return nil, nil
}
