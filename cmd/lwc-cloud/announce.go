package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"lwc/cloud/edp"
	"lwc/cloud/keyfile"
)

// ready is what --ready-file gets.
type ready struct {
	URL       string `json:"url"`
	AdminLink string `json:"admin_link,omitempty"` // only while there is no admin
	CAFile    string `json:"ca_file"`
}

// announce tells whoever started serve how to go on.
func announce(ctx context.Context, d *data, o serveOptions, addr net.Addr, w io.Writer) error {
	i, err := d.issuer()
	if err != nil {
		return err
	}
	r := ready{URL: i.URL}
	if r.CAFile, err = filepath.Abs(d.pki.CAPath()); err != nil {
		return fmt.Errorf("naming the authority's file: %w", err)
	}
	users, err := d.store.Users(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(users, func(u edp.User) bool { return u.Role == edp.RoleAdmin }) {
		if r.AdminLink, err = i.Link(ctx, edp.RoleAdmin, linkLife); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, welcome(d, r, addr)); err != nil {
		return fmt.Errorf("announcing: %w", err)
	}
	if o.readyFile == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the ready file: %w", err)
	}
	return keyfile.Write(o.readyFile, append(b, '\n'))
}

func welcome(d *data, r ready, addr net.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nlwc-cloud %s listens on %s.\n\n  Portal     %s\n", version, addr, r.URL)
	if r.AdminLink != "" {
		fmt.Fprintf(&b, "  First use  %s\n             (makes the first admin: once, within 24 hours)\n", r.AdminLink)
	}
	fmt.Fprintf(&b, "  Authority  %s\n             (browsers do not know it: import it, or compare its SHA-256\n             %s)\n",
		r.CAFile, fingerprint(d.pki.CA().Raw))
	fmt.Fprintf(&b, `
For the command line, in another terminal:
  export LWC_API_TOKEN=$(lwc-cloud api-token --data %s --name me --role admin)

`, d.dir)
	return b.String()
}

// fingerprint is the form in which browsers show it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	parts := make([]string, len(sum))
	for i, x := range sum {
		parts[i] = fmt.Sprintf("%02X", x)
	}
	return strings.Join(parts[:16], ":") + ":\n             " + strings.Join(parts[16:], ":")
}
