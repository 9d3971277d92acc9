package provision

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/image/sitefile"
)

const addressA, addressB = "10.1.0.2/24", "10.2.0.2/24"

// The life of a box: no file, a bad one, a good one, enrolled, started again.
func TestTheLifeOfABox(t *testing.T) {
	b := newBox(t)
	b.want(Waiting, "no-volume", "there is no volume with the name LWCCONF: copy lwc.toml to a USB stick")
	bad := strings.Replace(site("t1", addressA), "52:54:00:12:34:56", "52:54", 1)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": bad})
	s := b.want(Refused, "mac", place(bad, `"52:54"`)+": internal.mac:")
	if s.Source != "lwc.toml on LWCCONF (sdb1)" || b.read(b.RAM, daemonFile) != "" || b.read(b.Settings, settingsFile) != "" || b.hasToken() {
		t.Errorf("a bad file changed something: %+v", s)
	}
	b.unplugAll()
	b.want(Waiting, "no-volume", "")
	b.plug("sdb1", "lwcconf", false, map[string]string{"LWC.TOML": site("t1", addressA)})
	b.want(Ready, "", "")
	if b.read(b.RAM, tokenFile) != token("t1") || !strings.Contains(b.read(b.RAM, daemonFile), addressA) || strings.Contains(b.read(b.Settings, settingsFile), "lwce1_") {
		t.Errorf("lwcd got %q with\n%s", b.read(b.RAM, tokenFile), b.read(b.RAM, daemonFile))
	}
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	if text := b.read(b.shelf.folders["sdb1"], "LWC.TOML"); strings.Contains(text, "lwce1_") || !strings.Contains(text, `token = "used---`) || !strings.Contains(text, addressA) {
		t.Errorf("the volume holds\n%s", text)
	}
	b.want(Enrolled, "", "")
	b.unplugAll()
	b.boot()
	b.want(Enrolled, "", "")
	if !strings.Contains(b.read(b.RAM, daemonFile), addressA) || b.hasToken() || b.restarts != 0 || b.shelf.opened != 1 {
		t.Errorf("after a restart lwcd has\n%s\n%d restarts, opened %d times", b.read(b.RAM, daemonFile), b.restarts, b.shelf.opened)
	}
	if strings.Contains(b.log.String(), "lwce1_") {
		t.Errorf("the log has the token:\n%s", &b.log)
	}
}

func TestABoxWithSettingsGoesOnWithThem(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	settings := b.read(b.Settings, settingsFile)
	for name, text := range map[string]string{
		"missing": strings.Replace(site("", addressB), "mac = ", "# mac = ", 1),
		"no-file": "", "other-token": site("t2", addressB), "syntax": "mac: x", "unreadable": "\x00\x00",
	} {
		b.unplugAll()
		files := map[string]string{"lwc.toml": text}
		if text == "" {
			files = nil
		}
		b.plug("sdb1", "LWCCONF", false, files)
		kinds := name
		if name == "no-file" {
			kinds = "" // a stick without the file is nothing to a box that has its settings
		}
		if name == "unreadable" || name == "missing" {
			b.want(Enrolled, kinds, "")
		} else {
			b.want(Enrolled, kinds, "")
		}
		if b.read(b.Settings, settingsFile) != settings || strings.Contains(b.read(b.RAM, daemonFile), addressB) {
			t.Errorf("%s: the settings were changed", name)
		}
		if text := b.read(b.shelf.folders["sdb1"], "lwc.toml"); name == "other-token" && !strings.Contains(text, "lwce1_") {
			t.Error("another box's token was overwritten")
		}
	}
}

func TestANewFileReplacesTheSettings(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	b.unplugAll()
	b.plug("sdc1", "LWCCONF", false, map[string]string{"lwc.toml": site("", addressB)})
	b.want(Enrolled, "", "")
	if settings := b.read(b.Settings, settingsFile); !strings.Contains(settings, addressB) || !strings.Contains(settings, "https://192.0.2.1") ||
		!strings.Contains(b.read(b.RAM, daemonFile), addressB) || b.restarts != 1 {
		t.Errorf("settings are\n%s\nafter %d restarts", settings, b.restarts)
	}
	b.want(Enrolled, "", "")
	if b.restarts != 1 {
		t.Errorf("the same file started lwcd %d times", b.restarts)
	}
	b.unplugAll()
	b.plug("sdc1", "LWCCONF", false, map[string]string{"lwc.toml": `endpoint = "https://192.0.2.2"` + "\n" + site("", addressA)})
	b.want(Enrolled, "other-token", "is another cloud than the one that this box has enrolled with")
}

// A box that is connected does not take settings with which it could never come back.
func TestSettingsThatCutTheBoxOff(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.unplugAll()
	inner, outer, _ := strings.Cut(site("", addressB), "[external]")
	cut := inner + "[external]" + strings.Replace(outer, "dhcp = true ", "addresses = [\"198.51.100.2/24\"] ", 1)
	b.plug("sdc1", "LWCCONF", false, map[string]string{"lwc.toml": cut})
	b.want(Enrolled, "network", "the cloud at 192.0.2.1 is outside of the subnets of this port, and no gateway leads there")
	b.unplugAll()
	b.plug("sdd1", "LWCCONF", false, map[string]string{"lwc.toml": strings.Replace(cut, "# gateway = \"192.0.2.1\"", "gateway = \"198.51.100.1\"", 1)})
	b.want(Enrolled, "", "")
}

// Regression: the stick of another box took both ports of one that works down, for good.
// One whose ports do not open, as one whose disk was moved, takes it.
func TestTheFileOfAnotherBox(t *testing.T) {
	other := strings.NewReplacer("52:54:00:12:34:56", "02:00:00:00:00:01", "52:54:00:12:34:57", "02:00:00:00:00:02").Replace(site("", addressB))
	oneCard := strings.Replace(site("", addressC), "52:54:00:12:34:57", "02:00:00:00:00:02", 1)
	swapped := strings.NewReplacer("52:54:00:12:34:56", "52-54-00-12-34-57", "52:54:00:12:34:57", "52-54-00-12-34-56").Replace(site("", addressB))
	b := newBox(t)
	open := true
	b.Works = func() bool { return open }
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	b.rewrite("sdb1", other)
	b.want(Enrolled, "other-cards", place(other, `"02:00:00:00:00:01"`)+": internal.mac: is neither of the two cards that this box works with")
	b.settings(addressA)
	for _, text := range []string{oneCard, swapped} {
		b.rewrite("sdb1", text)
		b.want(Enrolled, "", "")
	}
	b.settings(addressB)
	b.rewrite("sdb1", other)
	b.want(Enrolled, "other-cards", "")
	open = false
	b.want(Enrolled, "", "")
	if text := b.read(b.RAM, daemonFile); !strings.Contains(text, "02:00:00:00:00:01") {
		t.Errorf("lwcd has\n%s", text)
	}
}

// A token that is late: the first was refused, another comes.
func TestAnotherTokenBeforeTheEnrolment(t *testing.T) {
	b := newBox(t)
	b.plug("sda2", "LWCCONF", true, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t2", addressB)})
	b.want(Ready, "", "")
	if b.read(b.RAM, tokenFile) != token("t2") || !strings.Contains(b.read(b.RAM, daemonFile), addressB) {
		t.Error("the attached volume does not count more than the box's own")
	}
	b.enrol()
	b.want(Enrolled, "", "")
	if text := b.read(b.shelf.folders["sdb1"], "lwc.toml"); strings.Contains(text, "lwce1_") {
		t.Errorf("the volume holds\n%s", text)
	}
}

func TestATokenIsNotKept(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.unplugAll()
	b.want(Ready, "", "") // lwcd has it
	b.boot()
	b.want(Ready, "token-gone", "plug the volume with lwc.toml in again")
	if b.read(b.RAM, daemonFile) == "" {
		t.Error("the settings are not used without the token")
	}
}

// After a factory reset the used file is no mistake, and not read again.
func TestAResetBoxWaits(t *testing.T) {
	b := newBox(t)
	b.plug("sda2", "LWCCONF", true, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	if err := Forget(t.Context(), b.Settings, b.State, filepath.Join(b.State, "none")); err != nil {
		t.Fatal(err)
	}
	b.boot()
	b.want(Waiting, "token-used", "was used already: get a new file from the cloud")
	if b.read(b.RAM, daemonFile) != "" || b.read(b.Settings, settingsFile) != "" {
		t.Error("a used file was taken")
	}
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t2", addressB)})
	b.want(Ready, "", "")
}

func TestWhatLwcdObjectsTo(t *testing.T) {
	b := newBox(t)
	b.Check = func(f *sitefile.File) []sitefile.Problem {
		return []sitefile.Problem{f.Problem(KindPorts, "internal.addresses", "is no good", "use another")}
	}
	text := site("t1", addressA)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": text})
	b.want(Refused, "ports", place(text, `["`+addressA)+": internal.addresses: is no good: use another")
	if b.read(b.RAM, daemonFile) != "" || b.hasToken() {
		t.Error("lwcd got it all the same")
	}
}

func TestAStatePartitionThatCannotBeWritten(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	if err := os.WriteFile(b.Settings, nil, 0o600); err != nil { // a file where the folder has to be
		t.Fatal(err)
	}
	b.want(Refused, "state", "the box cannot keep its settings")
	if b.read(b.RAM, daemonFile) != "" {
		t.Error("lwcd got settings that the next start does not know")
	}
}

// Regression: a state partition that is not mounted is told at once, and not only when
// somebody has brought a file for a box that seems to be new.
func TestAStatePartitionThatIsNotThere(t *testing.T) {
	b := newBox(t)
	b.Settings = filepath.Join(b.Settings, "not mounted", "settings")
	b.want(Refused, "state", "the box cannot keep its settings")
}

// Regression: what lies beside the settings may be damaged: lwcd gets them all the same.
func TestWhatLiesBesideTheSettingsCannotBeRead(t *testing.T) {
	for _, name := range []string{tokenIDFile, takenFile} {
		b := newBox(t)
		b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
		b.want(Ready, "", "")
		b.enrol()
		b.unplugAll()
		path := filepath.Join(b.Settings, name)
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
			t.Fatal(err)
		}
		b.boot()
		b.want(Enrolled, "state", "is a directory")
		if !strings.Contains(b.read(b.RAM, daemonFile), addressA) {
			t.Errorf("without %s lwcd gets no settings", name)
		}
	}
}

// Regression: a restart of lwcd that does not come is tried again, also by the next
// start of this program, and when the stick is gone.
func TestARestartThatDoesNotCome(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.unplugAll()
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("", addressB)})
	well := b.Restart
	b.Restart = func(context.Context) error { return errors.New("systemd has no time") }
	b.want(Enrolled, "state", "systemd has no time")
	b.unplugAll()
	b.want(Enrolled, "state", "systemd has no time")
	ram := b.Provisioner
	b.Provisioner = &Provisioner{Volumes: b.shelf, Settings: ram.Settings, RAM: ram.RAM, State: ram.State, Check: ram.Check, Restart: well}
	for range 2 {
		b.want(Enrolled, "", "")
		if b.restarts != 1 {
			t.Errorf("lwcd was started anew %d times", b.restarts)
		}
	}
}

// Regression: a write that fails half way leaves the text that is there.
func TestAFullStatePartitionKeepsItsSettings(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, settingsFile)
	if err := replace(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	failed := replace(path, make([]byte, 2<<20), 0o600)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(failed, unix.EFBIG) {
		t.Fatal(failed)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != "old" {
		t.Errorf("%d bytes are there, beginning with %.10q (%v)", len(now), now, err)
	}
	if list, err := os.ReadDir(folder); err != nil || len(list) != 1 {
		t.Errorf("the beginning of a file is left: %v, %v", list, err)
	}
}

func TestSettingsThatWereDamagedAreReplaced(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	if err := os.WriteFile(filepath.Join(b.Settings, settingsFile), []byte("\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.boot()
	b.want(Ready, "", "")
	if !strings.Contains(b.read(b.Settings, settingsFile), addressA) {
		t.Error("they were not replaced")
	}
}

func TestAProxysLogInIsForLwcdAlone(t *testing.T) {
	b := newBox(t)
	text := site("t1", addressA) + "proxy = \"http://192.0.2.9:3128\"\nproxy_user = \"site\"\nproxy_password = \"hunter2\"\n"
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": text})
	b.want(Ready, "", "")
	if b.read(b.RAM, passwordFile) != "hunter2" || strings.Contains(b.read(b.RAM, daemonFile)+b.log.String()+b.read(b.RAM, statusFile), "hunter2") {
		t.Errorf("the password is %q", b.read(b.RAM, passwordFile))
	}
	for _, name := range []string{passwordFile, tokenFile, daemonFile} {
		if info, err := os.Stat(filepath.Join(b.RAM, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(b.RAM, statusFile)); err != nil || info.Mode() != 0o644 {
		t.Errorf("the status: %v %v", info, err)
	}
	b.unplugAll()
	b.enrol()
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("", addressA)})
	b.want(Enrolled, "", "")
	if b.read(b.RAM, passwordFile) != "" || b.restarts != 1 {
		t.Errorf("the password of a proxy that is no more is there, %d restarts", b.restarts)
	}
}

func TestReadStatusOfNoAppliance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "provision.json")
	if _, err := ReadStatus(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	for _, text := range []string{"", "{}", `{"v":1,"state":"merry"}`, `{"v":2,"state":"ready"}`, strings.Repeat("x", maxStatus+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := ReadStatus(path); err == nil {
			t.Errorf("%.20q is %+v", text, s)
		}
	}
}
