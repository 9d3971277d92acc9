package site

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lwc/collector"
	"lwc/junos/junostest"
	"lwc/transport/wire"
)

// spoilt is a fault of a device and what is true of its collection.
type spoilt struct {
	fault junostest.Fault
	// kinds are those of the failure, of the device and of each item that has no
	// document. None: every item is stored, and nothing is wrong. In a device that
	// is stalled a later item may also be one that was never answered.
	kinds []string
	// cut says that a document may end before what the device meant to send.
	cut bool
	// late says that the fault costs time by itself: a time-out, a slow device, or
	// the pause that a collector owes it.
	late bool
	// long says that it takes longer than every other one of its kind: such a
	// fault is among a thousand devices only.
	long bool
}

// all is for a fault that keeps nothing from being stored.
func all(f junostest.Fault) spoilt { return spoilt{fault: f} }

// named is for a fault that has its reason at once.
func named(f junostest.Fault, kinds ...string) spoilt { return spoilt{fault: f, kinds: kinds} }

// awaited is for a fault that shows after a time-out or a pause.
func awaited(f junostest.Fault, kinds ...string) spoilt {
	return spoilt{fault: f, kinds: kinds, late: true}
}

// halved is awaited, with a beginning of a document that is kept.
func halved(f junostest.Fault, kinds ...string) spoilt {
	return spoilt{fault: f, kinds: kinds, late: true, cut: true}
}

// spoiltKinds has every fault that a device can have, and the arguments that
// make another one of it.
func spoiltKinds() []spoilt {
	return []spoilt{
		named(junostest.Unreachable, "refused"),
		awaited(junostest.Silent, "timeout"),
		awaited(junostest.Throttle, "throttled"),
		awaited(junostest.Throttle+":rst", "throttled"),
		awaited(junostest.Throttle + ":1"),
		all(junostest.Limit + ":1"),
		all(junostest.Rate + ":1"),
		awaited(junostest.StallBanner, "timeout"),
		awaited(junostest.StallKex, "timeout"),
		named(junostest.OldAlgorithms, "algorithms"),
		named(junostest.NewHostKey, "host-key-changed"),
		all(junostest.NewHostKey + ":later"),
		named(junostest.BannerFlood, "protocol"),
		named(junostest.BannerFlood+":lines", "protocol"),
		awaited(junostest.StallAuth, "timeout"),
		awaited(junostest.SlowAuth),
		named(junostest.RefuseAuth, "auth"),
		named(junostest.Lockout, "auth-locked-out"),
		named(junostest.EndlessPrompts, "auth"),
		named(junostest.EndlessPrompts+":empty", "auth"),
		awaited(junostest.NoNETCONF, "subsystem"),
		all(junostest.NoSubsystem),
		awaited(junostest.CLIOnly, "subsystem"),
		awaited(junostest.CLIOnly+":text", "subsystem"),
		awaited(junostest.StallHello, "hello"),
		named(junostest.Garbage, "hello"),
		all(junostest.ErrorHello),
		named(junostest.ErrorHello+":only", "hello"),
		awaited(junostest.Stall, "rpc-timeout"),
		halved(junostest.StallMid, "stalled"),
		{fault: junostest.Drip + ":1", kinds: []string{"stalled"}, cut: true, late: true, long: true},
		awaited(junostest.Drip + ":8000"),
		halved(junostest.Truncate, "closed"),
		named(junostest.Truncate+":framed", "malformed"),
		halved(junostest.Disconnect, "closed"),
		named(junostest.GarbageReply, "malformed"),
		// Where messages end with a delimiter, it is waited for in vain.
		halved(junostest.WrongFraming, "framing", "stalled"),
		halved(junostest.WrongFraming+":size", "framing", "stalled"),
		halved(junostest.WrongFraming+":zero", "framing", "stalled"),
		halved(junostest.WrongFraming+":header", "framing", "stalled"),
		named(junostest.WrongID, "message-id"),
		all(junostest.Splits),
		all(junostest.Huge + ":3MB"),
		all(junostest.BadUTF8),
		all(junostest.BOM),
		all(junostest.NoPipeline),
	}
}

// The table has every fault that there is.
func TestSpoiltKindsAreAll(t *testing.T) {
	have := map[junostest.Fault]bool{}
	for _, row := range spoiltKinds() {
		if _, err := junostest.ParseFault(string(row.fault)); err != nil {
			t.Error(err)
		}
		have[row.fault.Kind()] = true
	}
	for _, k := range junostest.FaultKinds() {
		if k.Device && !have[k.Name] {
			t.Errorf("no row for %s", k.Name)
		}
	}
}

const (
	fewDevices = 60 // each fault has one, and the others are healthy
	// fleetSize names the environment variable that makes the fleet larger: a
	// fifth of it is faulty then, and the time is judged.
	fleetSize = "LWC_FLEET_FAULTS"
	// maxRatio is how much longer the devices that cost no time of their own may
	// take beside those that do.
	maxRatio = 1.3
)

// faultyFleet returns the size of the fleet and the share of each fault in it.
func faultyFleet(t *testing.T) (devices int, share string, judged bool) {
	t.Helper()
	devices = fewDevices
	if s := os.Getenv(fleetSize); s != "" {
		var err error
		devices, err = strconv.Atoi(s)
		must(t, err)
		judged = true
	}
	var names []string
	for _, row := range spoiltKinds() {
		if judged || !row.long {
			names = append(names, string(row.fault))
		}
	}
	part := 0.2
	if !judged {
		part = float64(len(names)) / float64(devices)
	}
	return devices, strconv.FormatFloat(part, 'g', 6, 64) + "=" + strings.Join(names, ","), judged
}

// shortTimeouts spare the small fleet minutes of waiting for what never comes; the
// log-in waits longer than slow-auth takes.
const shortTimeouts = `connect = "5s"
key_exchange = "5s"
auth = "15s"
channel = "10s"
hello = "5s"
stall = "10s"`

// Every document of a fleet with every fault there is ends stored as it was sent
// or named with the right reason, and nobody waits for the devices that are
// stalled.
func TestFleetWithFaults(t *testing.T) {
	devices, share, judged := faultyFleet(t)
	timeouts := shortTimeouts
	if judged {
		timeouts = "" // as a site has them
	}
	var clean, faulty evidence
	good := t.Run("clean", func(t *testing.T) { clean = collectFleet(t, devices, "", timeouts) })
	good = t.Run("faulty", func(t *testing.T) { faulty = collectFleet(t, devices, share, timeouts) }) && good
	before, after := clean.settled().Seconds(), faulty.settled().Seconds()
	t.Logf("without faults: the cloud has the last document of %d devices after %.1f s", devices, before)
	t.Logf("with faults: it has the last one of all that cost no time of their own after %.1f s; the run ends after %.1f s",
		after, faulty.run.Finished.Sub(faulty.run.Started).Seconds())
	if !judged || before == 0 {
		return
	}
	goal(t, "fleet-faults-time-ratio", after/before, maxRatio)
	wrong := len(clean.unaccounted()) + len(faulty.unaccounted())
	if wrong == 0 && !good {
		wrong = 1 // what the accounts do not show
	}
	goal(t, "fleet-faults-unaccounted", float64(wrong), 0)
}

// goal prints a line for a goal on standard output.
func goal(t *testing.T, name string, value, limit float64) {
	t.Helper()
	word := "ok"
	if value > limit {
		word = "short"
		t.Errorf("%s is %.3f, more than %g", name, value, limit)
	}
	fmt.Printf("goal %s %s %g %s\n", name, strconv.FormatFloat(value, 'f', -1, 64), limit, word)
}

// sessions is what a collector has by default. It tells: of a thousand devices
// thirty stall for minutes, and if they kept their slots nobody else would have
// one. With 256 nobody could wait, whatever the collector did.
const sessions = collector.DefaultConcurrency

// collectFleet builds a site, collects all of it once and checks the accounts. A
// tenth of the devices is behind a bastion; they answer as fast as a real one. The
// log-ins are those of an operator whose AAA servers bear them.
func collectFleet(t *testing.T, devices int, share, timeouts string) evidence {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	s := start(ctx, t, Config{Devices: devices, Behind: devices / 10, FaultShare: share, Latency: "120ms", Timeouts: timeouts,
		Limits: wire.CollectLimits{Concurrency: sessions, LoginsPerSecond: 500}})
	collect(ctx, t, s)
	e := gather(ctx, t, s)
	t.Log(e.table())
	problems := e.unaccounted()
	for _, p := range problems[:min(len(problems), maxShown)] {
		t.Error(p)
	}
	if n := len(problems) - maxShown; n > 0 {
		t.Errorf("and %d more", n)
	}
	return e
}

const maxShown = 40

// rowOf finds what is true of a fault; nothing is wrong where there is none.
func rowOf(fault string) spoilt {
	rows := spoiltKinds()
	if i := slices.IndexFunc(rows, func(r spoilt) bool { return string(r.fault) == fault }); i >= 0 {
		return rows[i]
	}
	return spoilt{fault: junostest.Fault(fault)}
}
