package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lwc/cloud/shelf"
	"lwc/image/release"
)

// releaseKeysCommand manages the keys that may sign releases.
func releaseKeysCommand(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("release-keys", flag.ContinueOnError)
	dir := fs.String("data", "", "`DIR` of lwc-cloud serve, which may be running")
	add := fs.String("add", "", "trust the keys of this `FILE` too: Ed25519 public keys, PEM")
	remove := fs.String("remove", "", "trust the key with this `ID` no more; what it signed stays published")
	if err := parse(fs, args, "Lists the keys that may sign releases of the appliance, and changes them. The boxes have a list of their own, in their image", stdout); err != nil {
		return helped(err)
	}
	return withData(ctx, *dir, func(d *data) error {
		file := filepath.Join(d.dir, releaseKeys)
		if *add != "" {
			text, err := os.ReadFile(*add)
			if err != nil {
				return fmt.Errorf("reading the keys: %w", err)
			}
			if err := shelf.AddKeys(file, text); err != nil {
				return err
			}
		}
		if *remove != "" {
			if err := shelf.RemoveKey(file, *remove); err != nil {
				return err
			}
		}
		keys, err := shelf.Keys(file)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			_, err := fmt.Fprintln(stdout, "none: no release can be added before --add FILE")
			return err
		}
		for _, k := range keys {
			if _, err := fmt.Fprintln(stdout, release.KeyID(k)); err != nil {
				return err
			}
		}
		return nil
	})
}
