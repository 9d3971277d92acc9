package main

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"lwc/image/contents"
)

// entry is a file of a tree.
type entry struct {
	name string // without the first slash
	mode fs.FileMode
	head []byte // the first bytes of a regular file
	text []byte // all of it, for the files that are read whole
	link string // where a symbolic link leads
}

// readWhole are the files whose text is judged.
var readWhole = []string{"etc/passwd", "etc/shadow"}

// report is what was found in one tree.
type report struct {
	tree     string
	counts   map[string]int
	allowed  []string // what may be executed, with its reason
	findings []string
}

func (r *report) find(format string, args ...any) {
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
}

// print writes the report and returns the number of findings.
func (r *report) print(w io.Writer, all bool) int {
	fmt.Fprintf(w, "%s: %d files, %d programs, %d libraries, %d kernel modules\n", r.tree, r.counts["file"], r.counts["program"], r.counts["library"], r.counts["module"])
	if all {
		for _, a := range r.allowed {
			fmt.Fprintf(w, "  %s\n", a)
		}
	}
	for _, f := range r.findings {
		fmt.Fprintf(w, "  FINDING %s: %s\n", r.tree, f)
	}
	return len(r.findings)
}

// judge looks at all files of a tree.
func judge(tree contents.Tree, entries []entry) report {
	r := report{tree: tree.Name, counts: map[string]int{}}
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.name] = true
		r.entry(tree, e)
	}
	for program := range tree.Programs {
		if !seen[program] {
			r.find("%s is on the list and not in the image: take it off the list", program)
		}
	}
	slices.Sort(r.allowed)
	slices.Sort(r.findings)
	return r
}

// entry judges one file.
func (r *report) entry(tree contents.Tree, e entry) {
	if e.mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !e.mode.IsDir() {
		r.find("%s changes who runs it (%v)", e.name, e.mode)
	}
	if shell(path.Base(e.name)) || shell(path.Base(e.link)) {
		r.find("%s has the name of a shell or an interpreter", e.name)
	}
	if !e.mode.IsRegular() {
		return
	}
	r.counts["file"]++
	if slices.Contains(readWhole, e.name) {
		r.accounts(e)
	}
	r.executable(tree, e)
}

// executable judges a file by what could run it.
func (r *report) executable(tree contents.Tree, e entry) {
	kind := contents.Look(e.head)
	why, listed := tree.Programs[e.name]
	switch {
	case listed && kind == contents.ELF:
		r.counts["program"]++
		r.allowed = append(r.allowed, e.name+": "+why)
	case listed:
		r.find("%s is on the list of programs and is none", e.name)
	case kind == contents.Script:
		r.find("%s is a script", e.name)
	case kind == contents.Other:
		r.find("%s is a program of another kind", e.name)
	case kind == contents.ELF && contents.IsLibrary(e.name):
		r.counts["library"]++
		if interpreter(path.Base(e.name)) {
			r.find("%s is an interpreter in a library", e.name)
		}
	case contents.IsModule(e.name):
		r.counts["module"]++
		r.module(e.name)
	case kind == contents.ELF:
		r.find("%s is a program that is not on the list", e.name)
	case e.mode&0o111 != 0 && !contents.IsLibrary(e.name):
		r.find("%s can be executed and is no program (%v)", e.name, e.mode)
	}
}

// forwarders are the kernel's modules that pass on what is not for this machine, and
// those of keyboards: a box has two ports that never meet, and reads no key.
var forwarders = []string{"nf_nat", "nft_nat", "nft_masq", "nft_redir", "nft_tproxy", "nft_fwd_netdev", "nft_dup_netdev", "nft_flow_offload", "nf_flow_table",
	"x_tables", "bridge", "br_netfilter", "veth", "macvlan", "ipvlan", "tun", "wireguard", "openvswitch", "act_mirred", "team", "ip_gre", "vxlan", "usbhid", "usbkbd", "hid-generic", "hyperv-keyboard", "uinput"}

// module judges a kernel module.
func (r *report) module(name string) {
	base, _, _ := strings.Cut(path.Base(name), ".")
	if slices.Contains(forwarders, base) {
		r.find("%s could pass on traffic or read keys", name)
	}
}

// shell says whether a name is one that people and programs expect an interpreter by.
func shell(name string) bool {
	for _, s := range []string{"sh", "bash", "dash", "ash", "rbash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox", "toybox", "awk", "gawk", "mawk", "expect",
		"login", "getty", "agetty", "su", "sudo", "sulogin", "sshd", "dropbear", "telnetd", "apt", "apt-get", "dpkg", "rpm", "gdb", "strace"} {
		if name == s {
			return true
		}
	}
	for _, s := range []string{"python", "perl", "ruby", "lua", "tclsh", "node", "php"} {
		if rest, ok := strings.CutPrefix(name, s); ok && strings.Trim(rest, ".0123456789") == "" {
			return true
		}
	}
	return false
}

// interpreter says whether a library is a language's.
func interpreter(name string) bool {
	for _, s := range []string{"libpython", "libperl", "libruby", "liblua", "libtcl", "libguile", "libmozjs", "libnode", "libphp"} {
		if strings.HasPrefix(name, s) {
			return true
		}
	}
	return false
}

// accounts judges that nobody can log in.
func (r *report) accounts(e entry) {
	for line := range strings.Lines(string(e.text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		switch {
		case len(f) < 2:
		case e.name == "etc/passwd" && f[len(f)-1] != "/usr/sbin/nologin":
			r.find("the account %s has the shell %q", f[0], f[len(f)-1])
		case e.name == "etc/shadow" && !strings.HasPrefix(f[1], "!") && f[1] != "*":
			r.find("the account %s has a password", f[0])
		}
	}
}
