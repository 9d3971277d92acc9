package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"lwc/netguard"
)

// identity is the user that the collector half becomes; the zero identity keeps
// the user there is, without capabilities.
type identity struct{ uid, gid int }

// errUser says that the configured user cannot be used.
var errUser = errors.New("the user of the collector half cannot be used")

// The numbers of which the half takes the first that has no name, where the user
// lwcd does not exist: systemd gives them to nobody (systemd's UIDS-GIDS.md,
// "Unused"), and neither does a distribution (Debian policy section 9.2.2:
// reserved). Not nobody: other daemons are nobody too, and could read the key.
const firstUnnamed, lastUnnamed = 65520, 65533

// whose decides who the collector half is. The note says in words what could not
// be had, and is empty when nothing is amiss. Root is never given to the half
// where there is another user to be: without a capability it still owns the files
// of the system.
func whose(conf config) (who identity, note string, err error) {
	if os.Geteuid() != 0 {
		return identity{}, sameUser("lwcd was not started as root"), nil
	}
	u, err := user.Lookup(conf.user)
	if err == nil {
		who, err = numbers(u)
	}
	if err != nil && !conf.userGiven {
		who, err = unnamed()
	}
	if err == nil && mapped("/proc/self/uid_map", who.uid) && mapped("/proc/self/gid_map", who.gid) {
		return who, "", nil
	}
	strict := conf.ports.Mode != netguard.Userns
	switch {
	case err == nil && strict && conf.userGiven:
		return identity{}, "", fmt.Errorf("guard.user: %w: user %d does not exist in this user namespace: leave guard.user out", errUser, who.uid)
	case err == nil || !strict:
		return identity{}, sameUser("this user namespace has no other"), nil
	case conf.userGiven:
		return identity{}, "", fmt.Errorf("guard.user: %w: %w: make it (adduser --system --group %s), or name another", errUser, err, conf.user)
	}
	return identity{}, "", fmt.Errorf("%w: %w: make the user %s (adduser --system --group %s)", errUser, err, conf.user, conf.user)
}

// sameUser is what is missing when the two halves are one user.
func sameUser(why string) string {
	return "the collector half has no capabilities, but is the same user as the supervisor (" + why +
		"): it can change that user's files, the list of what may be dialled in the state folder among them"
}

// unnamed returns a user that nobody is. It needs no entry in any file.
func unnamed() (identity, error) {
	for id := firstUnnamed; id <= lastUnnamed; id++ {
		_, asUser := user.LookupId(strconv.Itoa(id))
		_, asGroup := user.LookupGroupId(strconv.Itoa(id))
		if asUser != nil && asGroup != nil {
			return identity{id, id}, nil
		}
	}
	return identity{}, fmt.Errorf("the users %d to %d have names", firstUnnamed, lastUnnamed)
}

func numbers(u *user.User) (identity, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return identity{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err == nil && (uid == 0 || gid == 0) {
		err = fmt.Errorf("user %s is root, or of root's group", u.Username)
	}
	return identity{uid, gid}, err
}

// mapped reads user_namespaces(7), "/proc/pid/uid_map": lines of the first id
// inside, the first outside, and their number.
func mapped(file string, id int) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		var first, outside, many int
		if _, err := fmt.Sscan(line, &first, &outside, &many); err == nil && id >= first && id < first+many {
			return true
		}
	}
	return false
}
