package junos

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// docs/catalogue.md is made from the catalogue:
//
//	go test ./junos -run CataloguePage -update
func TestCataloguePage(t *testing.T) {
	path := filepath.Join("..", "docs", "catalogue.md")
	want := page()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/catalogue.md is not what the catalogue says: go test ./junos -run CataloguePage -update")
	}
}

func page() string {
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, len(Catalogue()), Small, Medium, Large)
	for _, s := range []struct {
		title string
		rows  []row
	}{
		{"System", systemRows()}, {"Chassis", chassisRows()}, {"Interfaces and neighbours", interfaceRows()},
		{"Protocols", protocolRows()}, {"Security services", securityRows()},
	} {
		pageTable(&b, s.title, s.rows)
	}
	pageSensitivities(&b)
	pageProfiles(&b)
	b.WriteString(pageNever)
	pageMasking(&b)
	pageClasses(&b)
	return b.String()
}

func pageTable(b *strings.Builder, title string, rows []row) {
	fmt.Fprintf(b, "\n### %s\n\n| command | what is sent | why | platforms | profiles | size | may tell |\n|---|---|---|---|---|---|---|\n", title)
	for _, r := range rows {
		i := r.item()
		sent := "`" + i.RPC() + "`"
		if o, ok := i.Older(); ok {
			sent += ", where a device does not know that `" + o.RPC() + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", i.CLI, sent, i.Why,
			list(i.Platforms, "all"), list(append(words(r.profiles), "full"), ""), i.Size, list(i.Sensitivity, "-"))
	}
}

func list(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

func pageSensitivities(b *strings.Builder) {
	b.WriteString("\nWhat a reply may tell:\n\n")
	for _, s := range slices.Sorted(maps.Keys(sensitivities)) {
		fmt.Fprintf(b, "- %s: %s\n", s, sensitivities[s])
	}
}

func pageProfiles(b *strings.Builder) {
	b.WriteString("\n## Profiles\n\nA device is asked for the items of one profile. A fleet may define profiles of its own, from these items only.\n\n| profile | items | for |\n|---|---|---|\n")
	for _, p := range Profiles() {
		items, _ := Profile(p)
		fmt.Fprintf(b, "| `%s` | %d | %s |\n", p, len(items), pageProfileWords[p])
	}
}

var pageProfileWords = map[string]string{
	"minimal":  "what support asks for first",
	"optics":   "what it takes to judge transceivers and the links on them",
	"security": "who was on the device, the rights of accounts, clusters, VPNs and signatures",
	"daily":    "what the vendor's own collector asks every day, as far as it only shows; used unless something else is said",
	"full":     "the whole catalogue",
}

func pageMasking(b *strings.Builder) {
	b.WriteString(pageMask)
	for _, c := range []MaskClass{MaskUserNames, MaskCommunities, MaskSecrets, MaskMACs, MaskIPs, MaskDescriptions} {
		state := "off"
		if slices.Contains(DefaultMaskClasses(), c) {
			state = "on"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", c, state, pageMaskWords[c])
	}
}

var pageMaskWords = map[MaskClass]string{
	MaskUserNames:    "account names: in commits, log-ins, processes, owners of files, prompts, URLs, logs and the rights of the account",
	MaskCommunities:  "SNMP communities",
	MaskSecrets:      "passwords, hashes and keys (`$9$`, `$1$`, `$5$`, `$6$`, private keys), wherever they stand",
	MaskMACs:         "MAC addresses",
	MaskIPs:          "IPv4 and IPv6 addresses",
	MaskDescriptions: "texts on interfaces and peers",
}

func pageClasses(b *strings.Builder) {
	b.WriteString(pageClassHead)
	for _, p := range Profiles() {
		items, _ := Profile(p)
		fmt.Fprintf(b, "\n### %s\n\n```\n%s```\n", p, LoginClass("lwc-"+p, items))
	}
}

const pageHead = `# What is asked of devices

This page is made from the catalogue that is compiled into the collector; a test
fails when the two differ. It is written for those who decide whether the
collector may log in to a device.

The collector knows %d questions. Each is one NETCONF operation whose name begins
with ` + "`get-`" + ` and which has a ` + "`show`" + ` command as its twin. Where a device has no NETCONF
and its owner allows it, the command is typed instead, followed by
` + "`| display xml | no-more`" + `. Besides them a session sends its hello and ` + "`<close-session/>`" + `.

Names follow the YANG modules and XML API references that Juniper publishes,
PyEZ's tables and replies of real devices. A device that does not know a question
says so; where its words are of a command that it does not have, it is not asked
again until its release changes, the collector restarts, or somebody collects that
device alone. What is only not in use is asked for each time.

Platforms tell where a command is at home; a device is asked for every item of its
profile, whatever it is. mx, ex, srx, qfx, ptx and acx are families, evo is Junos OS Evolved. Size
is that of the reply on a large device: %s is under 16 KiB, %s under 1 MiB, %s more.

## Catalogue
`

const pageNever = `
## What is never sent, and why

| what | why not |
|---|---|
| anything that is not in the tables above | what is sent is compiled in and cannot be set by a configuration, a job, the cloud or another package: a session compares each item with the catalogue and refuses what differs |
| text chosen by anybody | an operation is one name and at most one empty element (` + "`detail`, `extensive`, `terse`, `descriptions`, `media`, `no-resolve`" + `): there is no place for a path, a URL, a pattern or a command |
| ` + "`configure`, `edit-config`, `load`, `commit`, `rollback`, `lock`, `kill-session`" + ` | they change the device or disturb others who work on it |
| ` + "`show configuration`, `get-config`, `get-configuration`" + ` | configuration holds secrets, and no question here needs it |
| ` + "`clear`, `request`, `restart`, `set`, `start shell`, `op`, `test`" + ` | they change state or run programs |
| ` + "`request support information`, `file list`, `file show`, SFTP, `show log`" + ` | the vendor's own collector uses the first two and SFTP; they are not ` + "`show`" + ` commands, their size has no bound, or they read files that may hold anything |
| ` + "`ping`, `traceroute`, `ssh`, `telnet`, `monitor`" + ` | they reach beyond the device |

Shown by ` + "`go test ./junos -run 'Catalogue|NotInCatalogue'`" + `: the shape and the words of every
operation, that a forged item is refused, and that callers cannot change the table.
`

const pageMask = `
## What is masked before it leaves

Values are replaced on the box, while the reply is read, by pseudonyms: the same
value gives the same pseudonym, from which nobody can go back without the key of the
box. A document that was masked says so, with the count of each class and the hash of
the bytes as the device sent them; by that hash short values can be guessed, as
[SECURITY.md](../SECURITY.md) says.

| class | unless configured otherwise | what |
|---|---|---|
`

const pageClassHead = `
## The account on the device

One login class for each profile, for an account that can ask its questions and
those that the collector asks by itself: the version, what the account may do, and
the load of the routing engine. ` + "`permissions view`" + ` lets it look; ` + "`allow-commands`" + ` names the commands, of
which some need more than view on some releases; ` + "`deny-commands`" + ` takes away whole
families, whatever flags the class may be given later. Class and device have the
last word: paste it on one device first and let the collector probe it. A probe
reads ` + "`show cli authorization`" + ` and names every right that is more than looking; it
never tries one.
`
