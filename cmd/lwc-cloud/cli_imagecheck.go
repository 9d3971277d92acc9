package main

import (
	"context"
	"crypto/ed25519"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lwc/image/release"
	"lwc/image/sitefile"
	"lwc/image/sums"
)

func imageCheckCmd() clientCmd {
	return clientCmd{
		name: "image check", args: "[IMG]", many: true, offline: true,
		summary: "Check an image that was downloaded, a site's lwc.toml, or both",
		details: "IMG is checked against the list of checksums that lies beside it (lwc_VERSION.SHA256SUMS), and with --release-keys the\n" +
			"list against its signature (lwc_VERSION.SHA256SUMS.sig). Get the keys another way than the image: who can change the one\n" +
			"should not be able to change the other. Of lwc.toml it tells line, column, what is wrong and what to do, as the box does; of a good\n" +
			"one, which cloud it names, and until when its token is good.\n" +
			"It needs no cloud, and works wherever lwc-cloud does, so on Windows and macOS too.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			config := fs.String("config", "", "lwc.toml, the `FILE` of the site")
			enrolled := fs.Bool("enrolled", false, "the token may be missing: the file is for a box that has enrolled")
			origin := addOriginFlags(fs)
			return func(ctx context.Context, c *call) error {
				switch {
				case len(c.args) > 1 || len(c.args) == 0 && *config == "":
					return usageErrorf("image check: give one image, --config lwc.toml, or both; see --help")
				case len(c.args) == 0 && origin.asked():
					return usageErrorf("image check: name the image that --release-keys and --sums are for")
				case len(c.args) == 1 && strings.HasSuffix(c.args[0], ".toml"):
					return usageErrorf("image check: %s is no image: give it as --config %s", c.args[0], c.args[0])
				case len(c.args) == 1:
					words, err := origin.check(ctx, c.args[0])
					if err != nil {
						return err
					}
					if _, err := fmt.Fprint(c.stdout, words); err != nil || *config == "" {
						return err
					}
				}
				return checkSite(c, *config, *enrolled)
			}
		},
	}
}

func checkSite(c *call, path string, enrolled bool) error {
	text, err := siteText(path)
	if err != nil {
		return err
	}
	defer clear(text)
	parse := sitefile.Parse
	if enrolled {
		parse = sitefile.ParseSettings
	}
	f, err := parse(sitefile.Name, text)
	if err != nil {
		return withHint(fmt.Errorf("%s is wrong:\n%w", path, err), text)
	}
	words := siteWords(path, f, text)
	if enrolled && !f.Token.Empty() {
		words += "A box that has enrolled refuses a token that it has not used: for new settings remove the line token.\n"
	}
	_, err = fmt.Fprint(c.stdout, words)
	return err
}

// origin says by what an image is known to be the one that was released.
type origin struct{ keys, sums string }

func addOriginFlags(fs *flag.FlagSet) *origin {
	var o origin
	fs.StringVar(&o.keys, "release-keys", "", "`FILE` with the public keys that sign releases (release.pub.pem): one of them has to have signed the checksums")
	fs.StringVar(&o.sums, "sums", "", "`FILE` with the checksums of the release (default: the one beside IMG that names it)")
	return &o
}

func (o *origin) asked() bool { return o.keys != "" || o.sums != "" }

// check says what was found out about an image, in words.
func (o *origin) check(ctx context.Context, image string) (words string, err error) {
	info, err := os.Stat(image)
	if err != nil {
		return "", fmt.Errorf("checking the image: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("checking the image: %s is no file: check what it was flashed from", image)
	}
	var trusted []ed25519.PublicKey
	if o.keys != "" {
		text, err := os.ReadFile(o.keys)
		if err != nil {
			return "", fmt.Errorf("reading release keys: %w", err)
		}
		if trusted, err = release.ParseKeys(text); err != nil {
			return "", fmt.Errorf("%s: %w", o.keys, err)
		}
	}
	c, err := sums.Check(ctx, image, o.sums, trusted)
	if err != nil {
		return "", err
	}
	by := "not checked: give --release-keys to know that it is from whoever makes your releases"
	if c.Key != nil {
		by = "by the release key " + release.KeyID(c.Key) + " of " + o.keys
	}
	return fmt.Sprintf("%s: as %s says\n  SHA-256  %s\n  signed   %s\n", image, filepath.Base(c.List), c.SHA256, by), nil
}
