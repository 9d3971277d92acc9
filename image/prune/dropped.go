package main

// dropped is data that nothing on the appliance reads, by pattern.
var dropped = []string{
	// packages and their tools
	"usr/lib/apt", "usr/lib/dpkg", "usr/libexec", "etc/apt", "etc/dpkg", "var/lib/dpkg", "var/lib/apt", "etc/debconf.conf", "usr/share/debconf",
	"usr/share/perl*", "usr/share/debianutils", "usr/share/dpkg", "usr/share/initramfs-tools", "etc/initramfs*", "usr/lib/dracut", "usr/lib/kernel", "etc/kernel",
	"usr/lib/x86_64-linux-gnu/perl*", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/security", "usr/lib/x86_64-linux-gnu/cryptsetup", "usr/lib/klibc*",
	"usr/lib/sasl2", "usr/lib/pcrlock.d", "usr/lib/systemd/import-pubring.gpg", "usr/lib/systemd/repart",
	// what people who log in are shown
	"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug", "usr/share/bash-completion", "usr/share/zsh",
	"usr/share/fish", "usr/share/menu", "usr/share/pixmaps", "usr/share/common-licenses", "usr/share/polkit-1", "usr/share/keyrings", "usr/share/gcc", "usr/share/gdb",
	"usr/share/X11", "usr/share/i18n", "usr/share/zoneinfo", "usr/share/dbus-1", "usr/share/metainfo", "usr/share/mime", "usr/share/dict", "usr/share/doc-base",
	"usr/share/pam*", "usr/share/terminfo", "usr/share/tabset", "usr/share/util-linux", "usr/share/base-*", "usr/share/libc-bin", "usr/share/misc", "usr/lib/mime", "usr/lib/lsb",
	"usr/lib/terminfo", "etc/terminfo", "etc/motd", "etc/issue*", "etc/update-motd.d", "etc/profile*", "etc/bash.bashrc", "etc/skel", "etc/environment", "usr/lib/environment.d",
	// logins
	"etc/pam.*", "usr/lib/pam.d", "etc/shells", "etc/login.defs", "etc/securetty", "etc/security", "etc/ssh", "etc/subuid*", "etc/subgid*", "etc/passwd-", "etc/group-",
	"etc/shadow-", "etc/gshadow*", "etc/default", "etc/xdg", "etc/dbus-1", "usr/lib/dbus-1.0",
	// start-up that is not systemd's
	"etc/cron*", "etc/logrotate.d", "etc/init.d", "etc/rc*.d", "etc/alternatives", "etc/opt", "etc/gss", "etc/rmt", "etc/libaudit.conf", "etc/xattr.conf", "etc/e2scrub.conf",
	"etc/bindresvport.blacklist", "etc/gai.conf", "etc/ca-certificates*", "usr/share/ca-certificates", "etc/vconsole.conf", "etc/binfmt.d",
	// of systemd
	"usr/lib/systemd/user*", "usr/lib/systemd/catalog", "usr/lib/systemd/*-environment-generators", "usr/lib/systemd/network", "usr/lib/systemd/portable", "usr/lib/systemd/profile.d",
	"usr/lib/systemd/ssh_config.d", "etc/systemd/user", "etc/systemd/network", "usr/lib/credstore*", "etc/credstore*", "var/lib/systemd/catalog", "var/lib/systemd/deb*",
	"usr/lib/systemd/system/*getty*", "usr/lib/systemd/system/*.wants/*getty*", "etc/systemd/system/*.wants/*getty*", "usr/lib/systemd/system/debug-shell.service",
	"usr/lib/systemd/system/rescue*", "usr/lib/systemd/system/dbus*", "usr/lib/systemd/system/runlevel*", "usr/lib/systemd/system/systemd-boot-update.service",
	"usr/lib/systemd/system/*ask-password*", "usr/lib/systemd/system/*.wants/*ask-password*", "usr/lib/systemd/system/proc-sys-fs-binfmt_misc.*",
	"usr/lib/systemd/system/systemd-sysupdate*", "etc/systemd/system/*.wants/systemd-sysupdate*", "usr/lib/systemd/system/systemd-pcr*", "usr/lib/systemd/system/*.wants/systemd-pcr*",
	"usr/lib/systemd/system/systemd-creds*", "usr/lib/systemd/system/systemd-bootctl*", "usr/lib/systemd/system/systemd-sysext*", "usr/lib/systemd/system/machine*", "usr/lib/systemd/system/*cryptsetup*",
	"usr/lib/systemd/system/user@*", "usr/lib/systemd/system/user-*", "usr/lib/systemd/system/capsule*", "usr/lib/systemd/system/cryptdisks*", "usr/lib/systemd/system/var-lib-machines.mount",
	"usr/lib/systemd/system/sys-fs-fuse*", "usr/lib/systemd/system/sys-kernel-debug.mount", "usr/lib/systemd/system/sys-kernel-tracing.mount", "usr/lib/systemd/system/systemd-udev-load-credentials.service",
	// folders of each boot, of users and containers
	"usr/lib/tmpfiles.d/20-systemd-*", "usr/lib/tmpfiles.d/credstore.conf", "usr/lib/tmpfiles.d/dbus.conf", "usr/lib/tmpfiles.d/debian.conf", "usr/lib/tmpfiles.d/home.conf", "usr/lib/tmpfiles.d/legacy.conf",
	"usr/lib/tmpfiles.d/portables.conf", "usr/lib/tmpfiles.d/provision.conf", "usr/lib/tmpfiles.d/systemd-n*", "usr/lib/tmpfiles.d/systemd-pstore.conf", "usr/lib/tmpfiles.d/x11.conf", "usr/lib/sysusers.d/[a-k]*", "usr/lib/sysusers.d/systemd*",
	"etc/systemd/logind.conf", "etc/systemd/networkd.conf", "etc/systemd/sleep.conf", "etc/systemd/pstore.conf", "etc/systemd/user.conf", "etc/modprobe.d/*-microcode-blacklist.conf",
	// devices that it has no use for: keyboards, sound, cameras, names of links
	"usr/lib/udev/hwdb*", "usr/lib/udev/rules.d/*-input*", "usr/lib/udev/rules.d/*alsa*", "usr/lib/udev/rules.d/*v4l*", "usr/lib/udev/rules.d/*sound*", "usr/lib/udev/rules.d/*camera*",
	"usr/lib/udev/rules.d/*joystick*", "usr/lib/udev/rules.d/*mouse*", "usr/lib/udev/rules.d/*touchpad*", "usr/lib/udev/rules.d/*fido*", "usr/lib/udev/rules.d/*mtd*", "usr/lib/udev/rules.d/*sensor*",
	"usr/lib/udev/rules.d/*memory*", "usr/lib/udev/rules.d/*uaccess*", "usr/lib/udev/rules.d/*seat*", "usr/lib/udev/rules.d/*drm*", "usr/lib/udev/rules.d/*evdev*", "usr/lib/udev/rules.d/*iocost*",
	"usr/lib/udev/rules.d/*infiniband*", "usr/lib/udev/rules.d/*net-*", "usr/lib/udev/rules.d/*dhcp*", "usr/lib/udev/rules.d/*e2scrub*", "usr/lib/udev/rules.d/*tape*", "usr/lib/udev/rules.d/*dmi-id*",
	"usr/lib/udev/rules.d/*power-switch*", "usr/lib/udev/rules.d/*autosuspend*", "usr/lib/udev/rules.d/*btrfs*",
	// what the kernel package brings for other uses: the UKI has the kernel
	"boot/*", "usr/lib/modules/*/build", "usr/lib/modules/*/source",
	"usr/lib/firmware/*-ucode",
	"var/cache/*", "var/log/*", "var/backups/*", "var/lib/pam", "var/lib/shells.state", "var/lib/dbus", "var/lib/ucf", "var/lib/initramfs-tools",
}
