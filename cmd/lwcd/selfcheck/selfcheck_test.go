package selfcheck

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"lwc/transport/wire"
)

func files(m map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range m {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func find(t *testing.T, s System, name string) wire.Check {
	t.Helper()
	for _, c := range s.Look() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s", name)
	return wire.Check{}
}

func TestEachCheckFindsWhatIsWrong(t *testing.T) {
	const head = "Filename\tType\tSize\tUsed\tPriority\n"
	for _, c := range []struct {
		about, check string
		files        map[string]string
		need         int64
		cloud        time.Duration
		known, ok    bool
		words        string
	}{
		{"enough", Memory, map[string]string{"proc/meminfo": "MemTotal:  1048576 kB\n"}, 200 << 20, 0, false, true, "200 MiB of 1024 MiB"},
		{"a small machine", Memory, map[string]string{"proc/meminfo": "MemTotal:  131072 kB\n"}, 200 << 20, 0, false, false, "has 128 MiB"},
		{"a tight group above", Memory, map[string]string{"proc/meminfo": "MemTotal:  1048576 kB\n",
			"proc/self/cgroup": "0::/system.slice/lwcd.service\n", "sys/fs/cgroup/system.slice/memory.max": "104857600\n",
			"sys/fs/cgroup/system.slice/lwcd.service/memory.max": "max\n"}, 200 << 20, 0, false, false, "/sys/fs/cgroup/system.slice/memory.max allows 100 MiB"},
		{"the tightest limit", Memory, map[string]string{"proc/meminfo": "MemTotal:  1048576 kB\n",
			"proc/self/cgroup": "0::/system.slice/lwcd.service\n", "sys/fs/cgroup/system.slice/memory.max": "104857600\n",
			"sys/fs/cgroup/system.slice/lwcd.service/memory.max": "314572800\n"}, 200 << 20, 0, false, false, "/sys/fs/cgroup/system.slice/memory.max allows 100 MiB"},
		{"no swap", Swap, map[string]string{"proc/swaps": head}, 0, 0, false, true, "none"},
		{"swap", Swap, map[string]string{"proc/swaps": head + "/dev/sda2 partition 1 0 -2\n"}, 0, 0, false, false, "/dev/sda2: switch it off"},
		{"zram", Swap, map[string]string{"proc/swaps": head + "/dev/zram0 partition 1 0 -2\n"}, 0, 0, false, true, "none"},
		{"locked", Locked, map[string]string{"proc/self/status": "VmLck:\t  2048 kB\n", "proc/swaps": head + "/dev/sda2 p 1 0 -2\n"}, 0, 0, false, true, "2 MiB locked"},
		{"not locked, with swap", Locked, map[string]string{"proc/self/status": "VmLck:\t 0 kB\n", "proc/swaps": head + "/dev/sda2 p 1 0 -2\n"}, 0, 0, false, false, "LimitMEMLOCK"},
		{"not locked, without", Locked, map[string]string{"proc/swaps": head}, 0, 0, false, true, "no swap"},
		{"no welcome yet", Clock, nil, 0, time.Hour, false, true, "not compared"},
		{"a wrong clock", Clock, nil, 0, -time.Hour, true, false, "differs by -1h0m0s"},
		{"a good clock", Clock, nil, 0, 20 * time.Millisecond, true, true, "20ms"},
		{"entropy", Entropy, nil, 0, 0, false, true, "seeded"},
		{"a test can be dumped", Core, nil, 0, 0, false, false, "PR_GET_DUMPABLE 1"},
	} {
		got := find(t, System{Files: files(c.files), Need: c.need, Cloud: c.cloud, Known: c.known}, c.check)
		if got.OK != c.ok || !strings.Contains(got.Detail, c.words) {
			t.Errorf("%s: %+v, want %q", c.about, got, c.words)
		}
	}
}

// The real machine can be looked at.
func TestLookAtThisMachine(t *testing.T) {
	for _, c := range (System{Files: os.DirFS("/"), Need: 1 << 20}).Look() {
		if c.Detail == "" || c.Name == Memory && !c.OK {
			t.Errorf("%+v", c)
		}
	}
}
