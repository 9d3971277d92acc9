package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"lwc/image/fat"
	"lwc/image/prepare"
	"lwc/image/sitefile"
)

func imagePrepareCmd() clientCmd {
	return clientCmd{
		name: "image prepare", args: "IMG", summary: "Put a site's lwc.toml into an image of the appliance, or onto a flashed disk", offline: true,
		details: "IMG is lwc_VERSION.img, the same packed (.img.zst), or a disk that was flashed and is not mounted. A raw image and a\n" +
			"disk are changed themselves; of a packed one the raw image is made beside it. The file is checked first.\n" +
			"The result holds the token: only you can read it, and it is good for one box. With --release-keys IMG is checked\n" +
			"first as lwc-cloud image check does it, and left alone unless it is what was released.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			config := fs.String("config", "", "lwc.toml, the `FILE` of the site")
			out := fs.String("out", "", "leave IMG as it is, and make this `FILE`")
			origin := addOriginFlags(fs)
			return func(ctx context.Context, c *call) error {
				text, err := siteText(*config)
				if err != nil {
					return err
				}
				if origin.asked() {
					words, err := origin.check(ctx, c.args[0])
					if err != nil {
						return fmt.Errorf("nothing was written: %w", err)
					}
					fmt.Fprint(c.stdout, words)
				}
				done, err := prepare.Image(ctx, c.args[0], *out, text)
				if err != nil {
					return withHint(inSiteFile(*config, err), text)
				}
				_, err = fmt.Fprintf(c.stdout, "%s holds lwc.toml now, from %s\n", done, *config)
				return err
			}
		},
	}
}

func imageVolumeCmd() clientCmd {
	return clientCmd{
		name: "image volume", summary: "Put a site's lwc.toml onto a small volume, for a virtual machine or a USB stick", offline: true,
		details: "The result is a raw disk with one FAT volume that is called LWCCONF. Attach it to the machine as a second disk, or write\n" +
			"it to a stick. A file without a token is good for a box that is enrolled: it gets new settings. Only you can read the result.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			config := fs.String("config", "", "lwc.toml, the `FILE` of the site")
			out := fs.String("out", "conf.img", "make this `FILE`")
			return func(_ context.Context, c *call) error {
				text, err := siteText(*config)
				if err != nil {
					return err
				}
				if err := prepare.Volume(*out, text); err != nil {
					return inSiteFile(*config, err)
				}
				_, err = fmt.Fprintf(c.stdout, "%s holds %s: a disk of %d MiB called %s\n", *out, *config, fat.VolumeSize>>20, sitefile.VolumeLabel)
				return err
			}
		},
	}
}

// siteText reads lwc.toml, bounded.
func siteText(path string) ([]byte, error) {
	if path == "" {
		return nil, usageErrorf("no file of the site: give --config lwc.toml (make one with lwc-cloud enrol-token --file lwc.toml)")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file of the site: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > sitefile.MaxSize {
		return nil, fmt.Errorf("reading the file of the site: %s is no file of at most %d bytes", path, sitefile.MaxSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the file of the site: %w", err)
	}
	return text, nil
}

// inSiteFile says of which file the problems are.
func inSiteFile(path string, err error) error {
	var problems sitefile.Problems
	if errors.As(err, &problems) {
		return fmt.Errorf("nothing was written; %s is wrong:\n%w", path, problems)
	}
	return err
}
