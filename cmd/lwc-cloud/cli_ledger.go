package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lwc/cloud/ledger"
	"lwc/transport/wire"
)

// ledgerFrom says which ledger a command is about.
type ledgerFrom struct {
	collector, run, file, token string
}

func (l *ledgerFrom) flags(fs *flag.FlagSet) {
	fs.StringVar(&l.collector, "collector", "", "collector `ID` (may be left out where there is one)")
	fs.StringVar(&l.run, "run", "", "only this run `ID`")
	fs.StringVar(&l.token, "api-token-file", "", "`FILE` with the API token (default: the environment variable LWC_API_TOKEN)")
}

// open returns an export: a file, or what the cloud sends now.
func (l *ledgerFrom) open(ctx context.Context, c *call, d ledger.Documents) (io.ReadCloser, error) {
	if l.file != "" {
		if l.collector != "" || l.run != "" {
			return nil, usageErrorf("--file is an export: what is in it was chosen with lwc-cloud ledger export --collector, --run")
		}
		f, err := os.Open(l.file)
		if err != nil {
			return nil, fmt.Errorf("opening the ledger: %w", err)
		}
		return f, nil
	}
	conn, err := connect(l.token)
	if err != nil {
		return nil, err
	}
	c.Client = conn
	at, err := theCollector(ctx, c, l.collector)
	if err != nil {
		return nil, err
	}
	l.collector = at.ID
	return conn.Ledger(ctx, at.ID, l.run, d)
}

// answered makes sure that a cloud sent what it was asked for: less of it would
// verify, too.
func (l *ledgerFrom) answered(h ledger.Head, d ledger.Documents) error {
	if l.file != "" || (h.Collector == l.collector && h.Run == l.run && h.Documents == d) {
		return nil
	}
	return fmt.Errorf("the cloud was asked for the ledger of %s, run %q, documents %s, and sent that of %s, run %q, documents %s",
		l.collector, l.run, d, h.Collector, h.Run, h.Documents)
}

func ledgerShowCmd() clientCmd {
	return clientCmd{
		name: "ledger show", offline: true, summary: "Tell in words what left a site, run by run",
		details: "It repeats what the collector signed; lwc-cloud ledger verify checks that. Of a live cloud, or, with\n" +
			"--file and no token, of an export.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var from ledgerFrom
			from.flags(fs)
			fs.StringVar(&from.file, "file", "", "an export, a `FILE` of lwc-cloud ledger export")
			asJSON := fs.Bool("json", false, "print a JSON array")
			return func(ctx context.Context, c *call) error { return ledgerShow(ctx, c, from, *asJSON) }
		},
	}
}

func ledgerShow(ctx context.Context, c *call, from ledgerFrom, asJSON bool) error {
	in, err := from.open(ctx, c, ledger.DocumentsNone)
	if err != nil {
		return err
	}
	head, runs, err := ledger.Tell(in)
	if err = errors.Join(err, in.Close()); err != nil {
		return err
	}
	if err := from.answered(head, ledger.DocumentsNone); err != nil {
		return err
	}
	if asJSON {
		return printJSON(c, runs)
	}
	fmt.Fprintf(c.stdout, "What left the site of collector %s, as its signed manifests say:\n", head.Collector)
	if len(runs) == 0 {
		fmt.Fprintln(c.stdout, "nothing was accounted for yet")
	}
	for _, r := range runs {
		fmt.Fprintln(c.stdout)
		if err := r.Print(c.stdout); err != nil {
			return err
		}
	}
	return nil
}

func ledgerExportCmd() clientCmd {
	return clientCmd{
		name: "ledger export", offline: true, summary: "Write the ledger of a site into a file that can be checked offline",
		details: "A gzipped tar: the manifests as they were signed, their signatures, and the hashes of what the cloud\n" +
			"stores; with --bytes the documents too, so that whoever checks computes the hashes.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var from ledgerFrom
			from.flags(fs)
			out := fs.String("out", "", "`FILE` to write (.tar.gz)")
			bytes := fs.Bool("bytes", false, "put the documents in, too")
			return func(ctx context.Context, c *call) error { return ledgerExport(ctx, c, from, *out, *bytes) }
		},
	}
}

func ledgerExport(ctx context.Context, c *call, from ledgerFrom, out string, bytes bool) error {
	if out == "" {
		return usageErrorf("ledger export needs a file to write: --out FILE")
	}
	in, err := from.open(ctx, c, howMuch(bytes))
	if err != nil {
		return err
	}
	n, err := saveAs(out, in, func(h ledger.Head) error { return from.answered(h, howMuch(bytes)) })
	if err = errors.Join(err, in.Close()); err != nil {
		return fmt.Errorf("exporting the ledger: %w", err)
	}
	_, err = fmt.Fprintf(c.stdout, "%s written, %s\n", out, size(n))
	return err
}

func howMuch(bytes bool) ledger.Documents {
	if bytes {
		return ledger.DocumentsBytes
	}
	return ledger.DocumentsHashes
}

// saveAs writes a file that only its owner can read, and leaves none behind when
// it does not come to its end. An export that is cut off on its way is refused.
func saveAs(path string, in io.Reader, check func(ledger.Head) error) (n int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".lwc-ledger-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	buffered := bufio.NewWriterSize(f, 1<<20)
	n, err = io.Copy(buffered, in)
	if err = errors.Join(err, buffered.Flush(), f.Sync(), f.Close()); err != nil {
		return n, err
	}
	if err := checkExport(f.Name(), check); err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), path)
}

// checkExport reads an export once: its end may not have come.
func checkExport(path string, check func(ledger.Head) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	head, _, err := ledger.Tell(f)
	if err == nil {
		err = check(head)
	}
	return errors.Join(err, f.Close())
}

func ledgerVerifyCmd() clientCmd {
	return clientCmd{
		name: "ledger verify", offline: true, summary: "Check the ledger of a site: signatures, chain, and each document",
		details: "Of a live cloud, or, with --file and no token or network, of an export. With --key nothing is believed\n" +
			"but what the collector's key signed: give cert.pem of the box's state folder, or its public key; after a\n" +
			"box was replaced, both. Ends with 0 when all is in order, 5 when something is wrong, 1 when the ledger\n" +
			"could not be read.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var from ledgerFrom
			from.flags(fs)
			fs.StringVar(&from.file, "file", "", "an export, a `FILE` of lwc-cloud ledger export")
			var keys several
			fs.Var(&keys, "key", "`FILE` with the collector's certificate or public key, in PEM form; may be given again")
			bytes := fs.Bool("bytes", false, "fetch the documents, and compute the hashes here; else the cloud does, from what it stores")
			asJSON := fs.Bool("json", false, "print the report as JSON")
			return func(ctx context.Context, c *call) error { return ledgerVerify(ctx, c, from, keys, *bytes, *asJSON) }
		},
	}
}

func ledgerVerify(ctx context.Context, c *call, from ledgerFrom, files []string, bytes, asJSON bool) error {
	keys, err := readKeys(files)
	if err != nil {
		return err
	}
	in, err := from.open(ctx, c, howMuch(bytes))
	if err != nil {
		return err
	}
	report, err := ledger.Verify(in, keys...)
	if err = errors.Join(err, in.Close()); err != nil {
		return err
	}
	if err := from.answered(report.Head, howMuch(bytes)); err != nil {
		return err
	}
	if asJSON {
		err = printJSON(c, report)
	} else {
		err = report.Print(c.stdout)
	}
	if err == nil && !report.OK() {
		err = &exitError{code: exitLedger}
	}
	return err
}

// readKeys reads certificates and public keys in PEM form.
func readKeys(files []string) ([]crypto.PublicKey, error) {
	var out []crypto.PublicKey
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading a key: %w", err)
		}
		key, err := keyOf(b)
		if err != nil {
			return nil, fmt.Errorf("reading the key of the collector from %s: %w", name, err)
		}
		out = append(out, key)
	}
	return out, nil
}

// keyOf returns the key of the first certificate or public key in a PEM file.
func keyOf(b []byte) (crypto.PublicKey, error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, errors.New("it holds neither a certificate nor a public key in PEM form: give cert.pem of the box's state folder")
		}
		switch block.Type {
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("its certificate cannot be read: %w", err)
			}
			return wire.ParsePublicKey(cert.RawSubjectPublicKeyInfo)
		case "PUBLIC KEY":
			return wire.ParsePublicKey(block.Bytes)
		}
	}
}
