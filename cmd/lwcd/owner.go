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
// be had, and is empty when nothing is amiss.
func whose(conf config) (who identity, note string, err error) {
	if os.Geteuid() != 0 {
		return identity{}, "", nil // an ordinary user already; mode unprotected
	}
	u, err := user.Lookup(conf.user)
	if err == nil {
		who, err = numbers(u)
	}
	_, unknown := errors.AsType[user.UnknownUserError](err)
	if unknown && !conf.userGiven {
		who, err = unnamed()
	}
	if err == nil && !(mapped("/proc/self/uid_map", who.uid) && mapped("/proc/self/gid_map", who.gid)) {
		err = fmt.Errorf("user %d does not exist in this user namespace", who.uid)
	}
	switch {
	case err == nil:
		return who, "", nil
	case conf.userGiven && conf.ports.Mode != netguard.Userns:
		return identity{}, "", fmt.Errorf("guard.user: %w: %w: make it (adduser --system --group %s), or name another", errUser, err, conf.user)
	}
	return identity{}, fmt.Sprintf("the collector half runs as root without capabilities, not as a user of its own: %v", err), nil
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
	if err == nil && uid == 0 {
		err = fmt.Errorf("user %s is root", u.Username)
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
