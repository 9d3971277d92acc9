package contents

import (
	"os"
	"strings"
	"testing"
)

func TestLook(t *testing.T) {
	for text, want := range map[string]Kind{
		"":                                 Data,
		"hello":                            Data,
		"#":                                Data,
		"#!/bin/sh\n":                      Script,
		"#! python":                        Script,
		"\x7fELF\x02\x01\x01":              ELF,
		"MZ\x90\x00":                       Other,
		"\x00asm\x01\x00\x00\x00":          Other,
		"\xca\xfe\xba\xbe\x00\x00\x00\x34": Other,
		"\x1bLua\x54":                      Other,
		"\xf3\x0d\r\n" + strings.Repeat("\x00", 12): Other,
		"text of a file\r\nwith lines":              Data,
	} {
		if got := Look([]byte(text)); got != want {
			t.Errorf("%q is kind %d, want %d", text, got, want)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if Look(program[:64]) != ELF {
		t.Error("this test is no program")
	}
}

func TestEveryProgramHasAReason(t *testing.T) {
	for _, tree := range []Tree{Root(), Initrd()} {
		for program, why := range tree.Programs {
			if strings.HasPrefix(program, "/") || !strings.HasPrefix(program, "usr/") || len(why) < 5 {
				t.Errorf("%s: %q: %q", tree.Name, program, why)
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	for name, want := range map[string]bool{
		Libraries + "/libc.so.6": true, Libraries + "/systemd/libsystemd-core-257.so": true, Libraries + "/ld-linux-x86-64.so.2": true,
		"usr/lib/libc.so.6": false, Libraries + "/gcc": false, Libraries + "/x.sox": false,
	} {
		if IsLibrary(name) != want {
			t.Errorf("library %s: %v", name, !want)
		}
	}
	for name, want := range map[string]bool{"usr/lib/modules/6/kernel/x.ko.xz": true, "usr/lib/modules/6/x.sh": false, "usr/lib/x.ko": false} {
		if IsModule(name) != want {
			t.Errorf("module %s: %v", name, !want)
		}
	}
}
