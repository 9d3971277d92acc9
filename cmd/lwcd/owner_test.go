package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lwc/netguard"
)

// Without a user lwcd the half is one that nobody is; it is never root where there
// is another user to be.
func TestWhose(t *testing.T) {
	other := anotherUser(t)
	for _, mode := range []netguard.Mode{netguard.Enforce, netguard.Userns, netguard.Unprotected} {
		conf := config{user: "no-user-of-that-name", ports: netguard.Config{Mode: mode}}
		who, note, err := whose(conf)
		if err != nil || note != "" || who != other || who.uid < firstUnnamed || who.gid < firstUnnamed {
			t.Errorf("%s: %v, %q, %v", mode, who, note, err)
		}
	}
	for _, name := range []string{"no-user-of-that-name", "root"} {
		who, _, err := whose(config{user: name, userGiven: true, ports: netguard.Config{Mode: netguard.Enforce}})
		if !errors.Is(err, errUser) || who != (identity{}) {
			t.Errorf("%s: %v, %v", name, who, err)
		}
	}
}

// A box that was never told of a user keeps root from the half all the same, and
// says nothing of being degraded; where the user namespace has one user it does.
func TestHalfWithoutUserIsNotRoot(t *testing.T) {
	e := newEnforced(t)
	e.configure(func(s string) string { return strings.Replace(s, `user = "nobody"`, "", 1) })
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	if err := os.WriteFile(e.token(), e.cloud.token(nil), 0o400); err != nil { // read-only, and erased all the same
		t.Fatal(err)
	}
	e.sd.await("welcomed by the cloud")
	if _, err := os.Stat(e.token()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the token is still there: %v", err)
	}
	text := must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/status", e.half())))
	alone := !mapped("/proc/self/uid_map", firstUnnamed)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] == "Uid:" || fields[0] == "Gid:" {
			for _, id := range fields[1:] {
				if (id == "0") != alone {
					t.Errorf("%s", line)
				}
			}
		}
	}
	if told := strings.Contains(e.log.String(), "is the same user as the supervisor"); told != alone {
		t.Errorf("told as degraded: %v", told)
	}
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// What state_dir names wrongly is refused before anything is changed.
func TestStateFolderOfTheSystem(t *testing.T) {
	for dir, good := range map[string]bool{"/etc": false, "/etc/lwcd": false, "/usr/lib/lwcd": false, "/": false, "/var/lib": false, "/dev/shm": false,
		"/proc/1": false, "/var/lib/../lib": false, "/var/lib/lwcd": true, "/data/lwcd": true, "/etcetera": true, "/tmp/lwcd": true} {
		_, err := parseConfig("f", fmt.Sprintf("state_dir = %q\n[guard]\nmode = \"unprotected\"\n", dir))
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "f:1: state_dir: ") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for _, text := range []string{"enrolment_token_file = \"/var/lib/lwcd/token\"\n[guard]\nmode = \"unprotected\"\n",
		"[guard]\nmode = \"unprotected\"\n[external]\nproxy = \"http://p:1\"\nproxy_user = \"u\"\nproxy_password_file = \"/var/lib/lwcd/../lwcd/x\"\n"} {
		if _, err := parseConfig("f", text); err == nil || !strings.Contains(err.Error(), "lies in the state folder") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A token file where the half could plant another one is refused while the ports
// stay down.
func TestTokenInTheHalfsFolder(t *testing.T) {
	who := anotherUser(t)
	e := newEnforced(t)
	dir := filepath.Join(e.dir, "drop")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, who.uid, who.gid)); err != nil {
		t.Fatal(err)
	}
	e.configure(func(s string) string {
		s = strings.Replace(s, `user = "nobody"`, "", 1)
		return strings.Replace(s, e.token(), dir+"/token", 1)
	})
	e.start()
	e.sd.await("ports down: configuration", "where the collector half can write")
	e.stop(syscall.SIGTERM)
}
