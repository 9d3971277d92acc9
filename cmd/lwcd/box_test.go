package main

import (
	"testing"
	"testing/fstest"

	"lwc/transport/boxkey/boxkeytest"
	"lwc/transport/wire"
)

func held(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// What a box says of itself, on the appliance and elsewhere.
func TestBox(t *testing.T) {
	tpm := boxkeytest.Start(t)
	appliance := fstest.MapFS{
		"usr/lib/os-release":              held("NAME=x\nIMAGE_ID=\"lwc\"\nIMAGE_VERSION='1.2.0'\n"),
		secureBootVar:                     held("\x06\x00\x00\x00\x01"),
		bootCountVar:                      held("\x06\x00\x00\x00x"),
		"sys/class/dmi/id/sys_vendor":     held("QEMU\n"),
		"sys/class/dmi/id/product_name":   held("Standard\x1b[2J PC\n"),
		"sys/class/dmi/id/product_serial": held("not told"),
	}
	want := wire.Box{Image: "1.2.0", Trial: true, SecureBoot: "on", CommandLine: "as-built", Hardware: "QEMU Standard[2J PC"}
	if got := (machine{appliance, tpm.Device}).box(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	appliance[blessedFile] = held("")
	appliance[secureBootVar] = held("\x06\x00\x00\x00\x00")
	want.Trial, want.SecureBoot, want.CommandLine = false, "off", "unknown"
	if got := (machine{appliance, ""}).box(); got != want {
		t.Errorf("blessed, without a TPM: %+v, want %+v", got, want)
	}
	server := fstest.MapFS{"usr/lib/os-release": held("ID=debian\nIMAGE_VERSION=1\n")}
	if got, want := (machine{server, tpm.Device}).box(), (wire.Box{SecureBoot: "unknown", CommandLine: "unknown"}); got != want {
		t.Errorf("elsewhere: %+v, want %+v", got, want)
	}
}
