package seal

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
)

// enrolFolder is where systemd-boot looks for keys that may be enrolled without a
// question: systemd-boot(7) and loader.conf(5), secure-boot-enroll.
const enrolFolder = "/loader/keys/auto"

// Image signs the boot loader and all kernels inside a raw image, in place, with the
// key of the folder keys, and adds the files for enrolment that are in it. It returns
// the paths of what it signed. Signing again with the same key changes nothing;
// signing with another adds a signature.
func Image(ctx context.Context, image, keys string) (signed []string, err error) {
	d, err := openDisk(image)
	if err != nil {
		return nil, err
	}
	w, err := newWorkshop()
	if err != nil {
		return nil, err
	}
	defer w.close()
	system := d.system()
	programs, err := system.programs(ctx)
	if err != nil {
		return nil, err
	}
	for i, p := range programs {
		if err := signInside(ctx, system, w, fmt.Sprint(i), p, keys); err != nil {
			return nil, fmt.Errorf("signing %s: %w", p, err)
		}
	}
	if err := putEnrolment(ctx, system, keys); err != nil {
		return nil, fmt.Errorf("adding the keys for enrolment: %w", err)
	}
	return programs, d.sync()
}

func signInside(ctx context.Context, system esp, w workshop, name, program, keys string) error {
	plain, signed := w.path(name), w.path(name+".signed")
	if err := system.take(ctx, program, plain); err != nil {
		return err
	}
	if Verify(ctx, plain, keys) == nil {
		return nil
	}
	if err := Program(ctx, plain, signed, keys); err != nil {
		return err
	}
	if err := system.put(ctx, signed, program); err != nil {
		return err
	}
	// What counts is what the partition holds now.
	again := w.path(name + ".again")
	if err := system.take(ctx, program, again); err != nil {
		return err
	}
	return Verify(ctx, again, keys)
}

// Program signs one EFI program with the key of the folder keys: to is from with one
// more signature (Authenticode, as UEFI 2.10, section 32.2, wants it).
func Program(ctx context.Context, from, to, keys string) error {
	_, err := tool(ctx, "sbsign", "--key", filepath.Join(keys, BootKey), "--cert", filepath.Join(keys, BootCert), "--output", to, from)
	return err
}

// Verify returns an error unless the key of the folder keys has signed the program.
func Verify(ctx context.Context, program, keys string) error {
	_, err := tool(ctx, "sbverify", "--cert", filepath.Join(keys, BootCert), program)
	return err
}

// putEnrolment adds the files that there are: who enrols in the firmware's own menu
// has none.
func putEnrolment(ctx context.Context, system esp, keys string) error {
	for _, name := range EnrolFiles() {
		if missing(keys, name) {
			continue
		}
		if err := system.folder(ctx, enrolFolder); err != nil {
			return err
		}
		if err := system.put(ctx, filepath.Join(keys, name), path.Join(enrolFolder, name)); err != nil {
			return err
		}
	}
	return nil
}
