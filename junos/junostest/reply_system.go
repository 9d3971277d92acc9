package junostest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// software is the reply to show version.
func (d *Device) software(w *writer, node int) {
	w.in("software-information", func() {
		if !d.plat.evolved || d.index%2 == 0 { // some releases of Evolved leave it out
			w.leaf("host-name", d.nodeHostName(node))
		}
		w.leaf("product-model", d.prod.name)
		w.leaf("product-name", d.prod.marketing)
		if d.plat.evolved {
			w.leaf("os-name", "Junos OS Evolved")
		}
		w.leaf("junos-version", d.Release)
		if d.Model == SRXCluster {
			w.empty("jsr")
		}
		for _, p := range d.packages() {
			w.in("package-information", func() {
				w.leaf("name", p[0])
				w.leaf("package-name", p[1])
				w.leaf("comment", p[2])
			})
		}
	})
}

// nodeHostName is what one node calls itself. The members of a virtual chassis
// share a name; a backup engine and the second node of a cluster have their own.
func (d *Device) nodeHostName(node int) string {
	switch {
	case node > 0 && d.Model == MXDualRE:
		return d.HostName + "-re1"
	case node > 0 && d.Model == SRXCluster:
		return d.HostName + "-node1"
	default:
		return d.HostName
	}
}

// packages are name, package and comment of what is installed.
func (d *Device) packages() [][3]string {
	if d.plat.evolved {
		return [][3]string{{"junos-evo-install", "junos-evo-install-ptx-fixed-x86-64-" + d.Release,
			"JUNOS OS Evolved [" + d.Release + "]"}}
	}
	r := d.draw("packages", 0)
	base := code(r, "2025079.FFFFFFF_builder_stable_12")
	build := code(r, "20250899.189999_builder_junos")
	fixed := [][2]string{{"os-kernel", "JUNOS OS Kernel 64-bit "}, {"os-libs", "JUNOS OS libs"}, {"os-runtime", "JUNOS OS runtime"},
		{"zoneinfo", "JUNOS OS time zone information"}, {"os-crypto", "JUNOS OS crypto"}}
	all := make([][3]string, 0, 32)
	for _, p := range fixed {
		all = append(all, [3]string{p[0], p[0] + "-x86-64-" + base, p[1] + " [" + base + "]"})
	}
	for _, name := range strings.Fields("netstack junos-libs junos-libs-compat32 junos-runtime sflow-platform py-base py-extensions " +
		"junos-net-platform junos-modules junos-modules-platform junos-daemons junos-daemons-platform jpfe-platform " +
		"junos-routing-aggregated junos-routing-controller-external services-jflow services-nat jdocs jweb fips-mode") {
		all = append(all, [3]string{name, name + "-x86-32-" + build, "JUNOS " + strings.ReplaceAll(name, "-", " ") + " [" + build + "]"})
	}
	return all
}

// times of a node's life, seconds before now.
type life struct{ booted, started, configured time.Duration }

func (d *Device) life(node int) life {
	r := d.draw("life", node)
	boot := time.Duration(3600+r.IntN(400*86400)) * time.Second
	return life{booted: boot, started: boot - 88*time.Second, configured: boot / time.Duration(2+r.IntN(30))}
}

// since is how long ago, as of the epoch, plus what the clock has run since.
func (d *Device) since(ago time.Duration) (at time.Time, length time.Duration) {
	at = epoch().Add(-ago).In(d.zone())
	return at, d.now().Sub(at)
}

const dateTime = "2006-01-02 15:04:05 MST"

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func seconds(l time.Duration) string { return strconv.Itoa(int(l.Seconds())) }

// short is a length as uptime writes it: 4w5d 14:59.
func short(l time.Duration) string {
	days, hours, minutes := int(l.Hours())/24, int(l.Hours())%24, int(l.Minutes())%60
	switch {
	case days >= 7:
		return fmt.Sprintf("%dw%dd %02d:%02d", days/7, days%7, hours, minutes)
	case days > 0:
		return fmt.Sprintf("%dd %02d:%02d", days, hours, minutes)
	default:
		return fmt.Sprintf("%02d:%02d:%02d", hours, minutes, int(l.Seconds())%60)
	}
}

// long is a length as show chassis routing-engine writes it.
func long(l time.Duration) string {
	s := int(l.Seconds())
	return fmt.Sprintf("%d days, %d hours, %d minutes, %d seconds", s/86400, s/3600%24, s/60%60, s%60)
}

// uptime is the reply to show system uptime.
func (d *Device) uptime(w *writer, node int) {
	l, now := d.life(node), d.now()
	w.in("system-uptime-information", func() {
		w.in("current-time", func() { w.leaf("date-time", now.Format(dateTime), "junos:seconds", unix(now)) })
		w.leaf("time-source", " NTP CLOCK ")
		d.moment(w, "system-booted-time", l.booted, "")
		d.moment(w, "protocols-started-time", l.started, "")
		d.moment(w, "last-configured-time", l.configured, d.commitUsers()[0])
		w.in("uptime-information", func() { d.load(w, node, l) })
	}, "xmlns", d.envelopeNS())
}

func (d *Device) moment(w *writer, name string, ago time.Duration, user string) {
	at, length := d.since(ago)
	w.in(name, func() {
		w.leaf("date-time", at.Format(dateTime), "junos:seconds", unix(at))
		w.leaf("time-length", short(length), "junos:seconds", seconds(length))
		w.some("user", user)
	})
}

func (d *Device) load(w *writer, node int, l life) {
	r, now := d.draw("load", node), d.now()
	_, length := d.since(l.booted)
	w.leaf("date-time", now.Format("3:04PM"), "junos:seconds", unix(now))
	w.leaf("up-time", fmt.Sprintf("%d days, %d:%02d", int(length.Hours())/24, int(length.Hours())%24, int(length.Minutes())%60),
		"junos:seconds", seconds(length))
	w.leaf("active-user-count", "1", "junos:format", "1 users")
	for _, n := range []string{"1", "5", "15"} {
		w.leaf("load-average-"+n, fmt.Sprintf("%.2f", r.Float64()*2))
	}
	w.in("user-table", func() {
		w.in("user-entry", func() {
			w.leaf("user", d.User)
			w.leaf("tty", "pts/0")
			w.leaf("from", fmt.Sprintf("10.0.%d.%d", r.IntN(250), 1+r.IntN(250)))
			w.leaf("login-time", now.Format("3:04PM"), "junos:seconds", unix(now))
			w.leaf("idle-time", "-", "junos:seconds", "0")
			w.leaf("command", "mgd: (mgd) ("+d.User+") (mgd)")
		})
	})
}

func (d *Device) commitUsers() []string {
	return []string{pick(d.draw("operator", 0), "netadmin", "jdoe", "automation", "noc-1"), "root"}
}

// commits is the reply to show system commit.
func (d *Device) commits(w *writer, node int) {
	r, ago := d.draw("commits", 0), d.life(node).configured
	w.in("commit-information", func() {
		for i := range 5 + r.IntN(20) {
			at, _ := d.since(ago)
			w.in("commit-history", func() { d.commit(w, r, i, at) })
			ago += time.Duration(60+r.IntN(20*86400)) * time.Second
		}
	})
}

func (d *Device) commit(w *writer, r *rand.Rand, number int, at time.Time) {
	w.leaf("sequence-number", strconv.Itoa(number))
	w.leaf("user", pick(r, d.commitUsers()...))
	w.leaf("client", pick(r, "cli", "netconf", "junoscript"))
	w.leaf("date-time", at.Format(dateTime), "junos:seconds", unix(at))
	if r.IntN(3) == 0 {
		w.leaf("comment", "commit confirmed, rollback in 5mins")
	}
	if r.IntN(3) == 0 {
		w.leaf("log", fmt.Sprintf("CHG%07d <R&D> rollout", r.IntN(9999999)))
	}
}

// filesystem of show system storage.
type filesystem struct {
	device, mount string
	megabytes     int
}

// storage is the reply to show system storage.
func (d *Device) storage(w *writer, node int) {
	systems := []filesystem{{"/dev/gpt/junos", "/.mount", 20480}, {"devfs", "/.mount/dev", 1}, {"/dev/md0", "/.mount/packages/mnt/os-base", 1300},
		{"/dev/gpt/config", "/.mount/config", 984}, {"/dev/gpt/var", "/.mount/var", 40960}, {"tmpfs", "/.mount/tmp", 4096}}
	if d.plat.evolved {
		systems = []filesystem{{"/dev/sda5", "/soft", 61440}, {"/dev/sda6", "/var", 81920}, {"/dev/sda1", "/boot", 976}, {"tmpfs", "/run", 16384}}
	}
	r := d.draw("storage", node)
	w.in("system-storage-information", func() {
		for _, s := range systems {
			w.in("filesystem", func() { s.write(w, r.IntN(99)) })
		}
	}, "junos:style", "brief")
}

// write gives sizes in blocks of 512 bytes and, as df, in words.
func (s filesystem) write(w *writer, percent int) {
	blocks := s.megabytes * 2048
	used := blocks / 100 * percent
	w.leaf("filesystem-name", s.device)
	w.leaf("total-blocks", strconv.Itoa(blocks), "junos:format", human(blocks))
	w.leaf("used-blocks", strconv.Itoa(used), "junos:format", human(used))
	w.leaf("available-blocks", strconv.Itoa(blocks-used), "junos:format", human(blocks-used))
	w.leaf("used-percent", fmt.Sprintf("%3d", percent))
	w.leaf("mounted-on", s.mount)
}

func human(blocks int) string {
	switch mb := float64(blocks) / 2048; {
	case mb >= 10240:
		return fmt.Sprintf("%.0fG", mb/1024)
	case mb >= 1024:
		return fmt.Sprintf("%.1fG", mb/1024)
	case mb >= 10:
		return fmt.Sprintf("%.0fM", mb)
	default:
		return fmt.Sprintf("%.0fK", mb*1024)
	}
}

// coreDumps is the reply to show system core-dumps: a third of the nodes has one.
func (d *Device) coreDumps(w *writer, node int) {
	r := d.draw("core-dumps", node)
	now := d.now()
	crashed := r.IntN(3) == 0
	w.in("directory-list", func() {
		w.leaf("output", "/var/crash/*core*: No such file or directory")
		if !crashed {
			w.leaf("output", "/var/tmp/*core*: No such file or directory")
		} else {
			w.in("directory", func() { d.coreFile(w, r) }, "name", "")
		}
		for _, path := range []string{"/var/tmp/pics/*core*", "/var/crash/kernel.*", "/var/jails/rest-api/tmp/*core*"} {
			w.leaf("output", path+": No such file or directory")
		}
	}, "root-path", "/var/crash/*core*", "junos:seconds", unix(now), "junos:style", "verbose")
}

func (d *Device) coreFile(w *writer, r *rand.Rand) {
	at, _ := d.since(time.Duration(r.IntN(200*86400)) * time.Second)
	w.in("file-information", func() {
		w.leaf("file-name", fmt.Sprintf("/var/tmp/%s.core.%d.gz", pick(r, "rpd", "dcd", "mgd", "chassisd", "l2ald"), r.IntN(3)))
		w.leaf("file-permissions", "660", "junos:format", "-rw-rw----")
		w.leaf("file-owner", "root")
		w.leaf("file-group", "wheel")
		w.leaf("file-links", "1")
		w.leaf("file-size", strconv.Itoa(100000+r.IntN(90000000)))
		w.leaf("file-date", unix(at), "junos:format", at.Format("Jan _2 15:04"))
	})
	w.leaf("total-files", "1")
}
