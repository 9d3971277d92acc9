package main

import (
	"bytes"
	"crypto"
	"io/fs"
	"os"
	"strings"

	"lwc/transport/boxkey"
	"lwc/transport/wire"
)

const (
	// imageID is the name of the appliance image in os-release(5).
	imageID = "lwc"
	// commandLinePCR is where systemd-stub measures words for the kernel that the
	// image does not hold (systemd-stub(7), "TPM PCR Notes").
	commandLinePCR = 12
	efiVars        = "sys/firmware/efi/efivars/"
	// secureBootVar is of the UEFI specification, section 3.3.
	secureBootVar = efiVars + "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	// bootCountVar is there when the boot loader counts the tries of what it started
	// (systemd-bless-boot.service(8)); it stays until the machine is started anew.
	bootCountVar = efiVars + "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	// blessedFile is made when this boot has been found good.
	blessedFile = "run/lwc/blessed"
)

// machine is what lwcd runs on, as its files tell.
type machine struct {
	files fs.FS // of the root folder
	tpm   string
}

// box says what can be told of the machine.
func (m machine) box() wire.Box {
	return wire.Box{Image: m.image(), Trial: m.trial(), SecureBoot: m.secureBoot(), CommandLine: m.commandLine(), Hardware: m.hardware()}
}

// image is the version of the appliance image, empty on another system.
func (m machine) image() string {
	text, err := fs.ReadFile(m.files, "usr/lib/os-release")
	if err != nil {
		return ""
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	if values["IMAGE_ID"] != imageID {
		return ""
	}
	return values["IMAGE_VERSION"]
}

// trial tells whether this version has not proved itself yet.
func (m machine) trial() bool {
	_, counted := fs.Stat(m.files, bootCountVar)
	_, blessed := fs.Stat(m.files, blessedFile)
	return counted == nil && blessed != nil
}

func (m machine) secureBoot() string {
	b, err := fs.ReadFile(m.files, secureBootVar)
	const attributes = 4 // bytes before the value (efivarfs.rst)
	switch {
	case err != nil || len(b) != attributes+1:
		return "unknown"
	case b[attributes] == 1:
		return "on"
	}
	return "off"
}

func (m machine) commandLine() string {
	sum, err := boxkey.PCR(m.tpm, commandLinePCR)
	switch {
	case err != nil || m.image() == "":
		return "unknown"
	case bytes.Equal(sum, make([]byte, len(sum))):
		return "as-built"
	}
	return "extended"
}

// hardware is maker and model; firmware that was never filled in says so in words
// of its own, which are passed on.
func (m machine) hardware() string {
	var words []string
	for _, name := range []string{"sys_vendor", "product_name"} {
		if b, err := fs.ReadFile(m.files, "sys/class/dmi/id/"+name); err == nil {
			words = append(words, strings.TrimSpace(string(b)))
		}
	}
	return clean(strings.TrimSpace(strings.Join(words, " ")))
}

// box is what the cloud is told of the machine.
func (l *link) box(key crypto.Signer) wire.Box {
	b := machine{os.DirFS("/"), l.conf.tpm}.box()
	b.Identity = string(boxkey.PlaceOf(key))
	return b
}
