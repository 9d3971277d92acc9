package junostest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// buffers is the reply to show system buffers.
func (d *Device) buffers(w *writer, node int) {
	r := d.draw("buffers", node)
	group := func(name string, in, cached, most int) {
		w.num("current-"+name, in)
		w.num("cached-"+name, cached)
		w.num("total-"+name, in+cached)
		if most > 0 {
			w.num("max-"+name, most)
		}
	}
	mbufs, clusters := 1200+r.IntN(9000), 500+r.IntN(4000)
	w.in("memory-statistics", func() {
		group("mbufs", mbufs, 600+r.IntN(4000), 0)
		group("mbuf-clusters", clusters, 100+r.IntN(2000), 1<<17)
		w.num("packet-count", clusters/2)
		w.num("packet-free", clusters/3)
		group("jumbo-clusters-4k", r.IntN(60), r.IntN(200), 1<<16)
		group("jumbo-clusters-9k", 0, 0, 1<<15)
		group("jumbo-clusters-16k", 0, 0, 1<<14)
		w.num("current-bytes-in-use", mbufs/4+clusters*2)
		w.num("cached-bytes", clusters)
		w.num("total-bytes", mbufs/4+clusters*3)
		w.zeros("mbuf-failures", "cluster-failures", "packet-failures", "jumbo-cluster-failures-4k", "jumbo-cluster-failures-9k",
			"jumbo-cluster-failures-16k")
	})
}

// users is the reply to show system users: the account that asks, and often
// somebody at a terminal.
func (d *Device) users(w *writer, node int) {
	r, now := d.draw("users", node), d.now()
	w.in("system-users-information", func() {
		w.in("uptime-information", func() {
			_, length := d.since(d.life(node).booted)
			w.leaf("date-time", now.Format("3:04PM"), "junos:seconds", unix(now))
			w.leaf("up-time", short(length), "junos:seconds", seconds(length))
			n := 1 + r.IntN(3)
			w.leaf("active-user-count", strconv.Itoa(n), "junos:format", strconv.Itoa(n)+" users")
			for _, minutes := range []string{"1", "5", "15"} {
				w.leaf("load-average-"+minutes, fmt.Sprintf("%.2f", r.Float64()*2))
			}
			w.in("user-table", func() {
				d.loggedIn(w, r, d.User, 0, "mgd: (mgd) ("+d.User+") (mgd)")
				for i := range n - 1 {
					d.loggedIn(w, r, pick(r, d.commitUsers()...), i+1, "cli")
				}
			})
		})
	}, "xmlns", d.envelopeNS())
}

func (d *Device) loggedIn(w *writer, r *rand.Rand, user string, terminal int, command string) {
	at := d.now()
	w.in("user-entry", func() {
		w.leaves("user", user, "tty", "pts/"+strconv.Itoa(terminal), "from", fmt.Sprintf("10.0.%d.%d", r.IntN(250), 1+r.IntN(250)))
		w.leaf("login-time", at.Format("3:04PM"), "junos:seconds", unix(at))
		w.leaf("idle-time", "-", "junos:seconds", "0")
		w.leaf("command", command)
	})
}

// process is one line of the process table.
type process struct {
	pid, kilobytes int
	name, user     string
	percent        float64
}

// daemons are the processes of a routing engine, the busiest first.
func (d *Device) daemons(node int) []process {
	names := "idle rpd chassisd mgd snmpd mib2d dcd pfed sampled l2ald l2cpd cosd rmopd dfwd eventd lldpd lacpd bfdd ppmd alarmd smartd craftd " +
		"irsd nfsd kmd sshd syslogd inetd ntpd xntpd cscript jsd na-grpcd license-check auditd dot1xd vrrpd rtspd jdhcpd commitd relayd"
	switch d.Model {
	case PTXEVO:
		names = "evo-aftmand-bt rpd sysman hwdre fpc-hwd picd cmdd mgd snmpd mib2d distributord trace-relay ifmand aftmand mcsnoopd l2ald lldpd " +
			"lacpd bfdd ppmd eventd alarmd resild fibd-proxy agentd na-grpcd jsd orchestratord securityd platform-svcs sshd ntpd mosquitto"
	case SRXCluster:
		names += " flowd_x86 jsrpd nsd idpd utmd appidd useridd httpd-gk pkid ikemd"
	}
	r := d.draw("processes", node)
	list := strings.Fields(names)
	all := make([]process, 0, len(list)+2)
	busy := 12 + 30*r.Float64()
	for i, name := range list {
		p := process{pid: 1700 + i*37 + r.IntN(37), kilobytes: 4000 + r.IntN(90000), name: name, user: "root"}
		if i > 0 {
			p.percent, busy = busy/2, busy/2
		} else {
			p.percent = 100 - busy*2
		}
		all = append(all, p)
	}
	return append(all, process{pid: 41000 + r.IntN(9000), kilobytes: 52000, name: "mgd", user: d.User},
		process{pid: 51000 + r.IntN(9000), kilobytes: 31000, name: "cli", user: d.commitUsers()[0]})
}

// processes is the reply to show system processes extensive, the text of top.
func (d *Device) processes(w *writer, node int) {
	all := d.daemons(node)
	_, up := d.since(d.life(node).booted)
	var b strings.Builder
	fmt.Fprintf(&b, "last pid: %5d;  load averages:  0.%02d,  0.%02d,  0.%02d    up %d+%02d:%02d:%02d  %s\n",
		61000+node, d.index%90+5, d.index%70+5, d.index%50+5, int(up.Hours())/24, int(up.Hours())%24, int(up.Minutes())%60, int(up.Seconds())%60,
		d.now().Format("15:04:05"))
	fmt.Fprintf(&b, "%d processes: 2 running, %d sleeping\n\n", len(all), len(all)-2)
	fmt.Fprintf(&b, "Mem: %dM Active, %dM Inact, %dM Wired, %dM Cache, 112M Buf, %dM Free\nSwap: 2048M Total, 2048M Free\n\n",
		d.prod.memory/5, d.prod.memory/8, d.prod.memory/10, d.prod.memory/16, d.prod.memory/2)
	b.WriteString("  PID USERNAME         THR PRI NICE   SIZE    RES STATE   C   TIME    WCPU COMMAND\n")
	for i, p := range all {
		fmt.Fprintf(&b, "%5d %-16s %3d  %2d    0 %5dM %5dM %-7s %d %4d:%02d %6.2f%% %s\n", p.pid, p.user, 1+i%4, 20+i%30, p.kilobytes/512, p.kilobytes/1024,
			[]string{"RUN", "select", "kqread", "nanslp"}[min(i, 1+i%3)], i&3, (len(all)-i)*7, i*13%60, p.percent, p.name)
	}
	w.block("output", b.String())
}

// memory is the reply to show system memory: the whole, and each process.
func (d *Device) memory(w *writer, node int) {
	total := d.prod.memory << 10
	w.in("system-memory-information", func() {
		w.in("system-memory-summary-information", func() {
			for _, part := range []struct {
				name    string
				percent int
			}{{"total", 100}, {"reserved", 3}, {"wired", 10}, {"active", 20}, {"inactive", 12}, {"cache", 5}, {"free", 50}} {
				w.num("system-memory-"+part.name, total/100*part.percent)
				w.num("system-memory-"+part.name+"-percent", part.percent)
			}
		})
		w.in("pmap-terse-information", func() {
			for _, p := range d.daemons(node) {
				w.in("pmap-terse-summary", func() {
					w.leaf("process-name", p.name)
					w.num("pid", p.pid)
					w.num("size", p.kilobytes*2)
					w.leaf("size-percent", fmt.Sprintf("%.2f", float64(p.kilobytes)*200/float64(total)))
					w.num("resident", p.kilobytes)
					w.leaf("resident-percent", fmt.Sprintf("%.2f", float64(p.kilobytes)*100/float64(total)))
				})
			}
		})
	})
}

// replication is the reply to show task replication. Only a device with a
// second engine has something to replicate to.
func (d *Device) replication(w *writer, _ int) {
	w.in("task-replication-state", func() {
		if d.engines() == 1 && d.Model != EXVC {
			w.leaves("task-gres-state", "Disabled", "task-re-mode", "Master")
			return
		}
		w.leaves("task-gres-state", "Enabled", "task-re-mode", "Master")
		for _, p := range []string{ospf, bgp, isis, ldp, rsvp} {
			if d.runs(p) {
				w.leaves("task-protocol-replication-name", p, "task-protocol-replication-state", "Complete")
			}
		}
	})
}

// ntp is the reply to show ntp associations.
func (d *Device) ntp(w *writer, _ int) {
	r := d.draw("ntp", 0)
	w.in("ntp-associations", func() {
		for i, mark := range []string{"*", "+"} {
			w.in("association", func() {
				w.leaves("remote", fmt.Sprintf("%s192.0.2.%d", mark, 10+i), "refid", ".GNSS.", "auth", "-", "st", "1", "association-type", "u",
					"when", strconv.Itoa(r.IntN(1024)), "poll", "1024", "reach", "377", "delay", fmt.Sprintf("%.3f", 1+r.Float64()*20),
					"offset", fmt.Sprintf("%+.3f", r.Float64()-0.5), "jitter", fmt.Sprintf("%.3f", r.Float64()))
			})
		}
	})
}
