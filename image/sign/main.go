// Sign does what comes after the build of an appliance image, with keys of one's own:
//
//	go run ./image/sign keys DIR
//	go run ./image/sign image --keys DIR --out SIGNED.img.zst IMAGE
//	go run ./image/sign release --keys DIR --out lwc_1.2.3.release.tar IMAGE
//	go run ./image/sign sums --keys DIR lwc_1.2.3.SHA256SUMS
//
// The first makes the keys that are missing in a folder. The second copies an image,
// raw or packed with zstd, and signs the copy for Secure Boot. The third takes the
// release out of an image and signs it, for lwc-cloud release add. The fourth signs the
// checksums of what people download. docs/signing.md says which key is for what and how
// a machine gets to know it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/image/seal"
)

const usage = `usage: sign keys DIR
       sign image --keys DIR --out FILE IMAGE
       sign release --keys DIR --out FILE [--security] [--floor VERSION] [--notes TEXT] [--rotate] IMAGE
       sign sums --keys DIR SUMS
       sign sums --keys DIR --out SUMS FILE…

keys makes the keys that are missing in a folder. image copies an image and signs the
copy for Secure Boot. release takes the release out of an image and signs it, for
lwc-cloud release add. sums signs a list of checksums, after a look at the files beside
it, or makes one of these files; lwc-cloud image check is for who downloads them.

IMAGE is a raw image or one packed with zstd; an --out that ends with .zst is packed.
--security  boxes take it that put updates off
--floor     the oldest version that may take this step
--notes     text for the administrator
--rotate    make the release although the image believes none of the keys in DIR: the
            next release has to be signed by a key that is in this image
docs/signing.md says which key is for what.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "sign:", err)
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "help", "-h", "-help", "--help":
			_, err := fmt.Fprint(stdout, usage)
			return err
		case "keys":
			return runKeys(ctx, args[1:], stdout, stderr)
		case "image":
			return runImage(ctx, args[1:], stdout, stderr)
		case "release":
			return runRelease(ctx, args[1:], stdout, stderr)
		case "sums":
			return runSums(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprint(stderr, usage)
	return errors.New("say what to do: keys, image, release or sums")
}

// command is what all but keys have in common.
type command struct {
	*flag.FlagSet
	keys, out string
}

func newCommand(name string, stderr io.Writer) *command {
	c := &command{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	c.SetOutput(stderr)
	c.Usage = func() { fmt.Fprint(stderr, usage) }
	c.StringVar(&c.keys, "keys", "", "folder of the keys")
	c.StringVar(&c.out, "out", "", "file to write")
	return c
}

// image parses the command line and returns the image that it names.
func (c *command) image(args []string) (string, error) {
	if err := c.Parse(args); err != nil {
		return "", err
	}
	if c.NArg() != 1 || c.keys == "" || c.out == "" {
		c.Usage()
		return "", fmt.Errorf("%s needs --keys, --out and one image", c.Name())
	}
	folder := filepath.Dir(c.out)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return "", fmt.Errorf("the folder %s of --out does not exist: make it first", folder)
	}
	return c.Arg(0), nil
}

func runKeys(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		fmt.Fprint(stdout, usage)
		return flag.ErrHelp
	}
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' {
		fmt.Fprint(stderr, usage)
		return errors.New("keys needs one folder")
	}
	made, err := seal.MakeKeys(ctx, args[0])
	for _, name := range made {
		fmt.Fprintln(stdout, "made", name)
	}
	if err == nil && len(made) == 0 {
		fmt.Fprintln(stdout, "all keys are there already")
	}
	return err
}

func runImage(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := newCommand("image", stderr)
	from, err := c.image(args)
	if err != nil {
		return err
	}
	return rawCopy(ctx, from, c.out, func(raw string) error {
		signed, err := seal.Image(ctx, raw, c.keys)
		for _, p := range signed {
			fmt.Fprintln(stdout, "signed", p)
		}
		return err
	})
}

func runRelease(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := newCommand("release", stderr)
	words := seal.Words{Created: time.Now()}
	c.BoolVar(&words.Security, "security", false, "boxes take it that defer updates")
	c.StringVar(&words.Floor, "floor", "", "oldest version that may take this step")
	c.StringVar(&words.Notes, "notes", "", "text for the administrator")
	c.BoolVar(&words.Rotate, "rotate", false, "the image is the first that believes other keys")
	from, err := c.image(args)
	if err != nil {
		return err
	}
	raw, done, err := unpacked(ctx, from)
	if err != nil {
		return err
	}
	defer done()
	if words.Rotate {
		if err := warn(ctx, raw, c.keys, stderr); err != nil {
			return err
		}
	}
	m, err := seal.Release(ctx, raw, c.keys, c.out, words)
	if errors.Is(err, seal.ErrStranded) {
		return fmt.Errorf("%w\nbuild the image anew with RELEASE_KEYS=%s, or, where its keys are to take over, add --rotate",
			err, filepath.Join(c.keys, seal.ReleasePublic))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "release %s: %s to download, in %s\n", m.Version, humanize.IBytes(uint64(m.PackedSize())), c.out)
	return nil
}

// warn says what a release that replaces the keys of its boxes does to them.
func warn(ctx context.Context, raw, keys string, stderr io.Writer) error {
	err := seal.Believed(ctx, raw, keys)
	if !errors.Is(err, seal.ErrStranded) {
		return err
	}
	_, err = fmt.Fprintf(stderr, "WARNING: %v\nWARNING: have the private key of one in the image at hand before you publish this: there is no way back\n", err)
	return err
}
