package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/broker"
	"lwc/cloud/edp"
	"lwc/cloud/keyfile"
	"lwc/cloud/pki"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// withData opens the folder of a server command around do.
func withData(ctx context.Context, dir string, do func(*data) error) error {
	d, err := openData(ctx, dir, false)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// linkLife is how long a one-time link lives.
const linkLife = 24 * time.Hour

func adminLinkCommand(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("admin-link", flag.ContinueOnError)
	dir := fs.String("data", "", "`DIR` of lwc-cloud serve, which may be running")
	role := fs.String("role", string(edp.RoleAdmin), "admin or standard: what the user may do")
	ttl := lifetimeFlag(fs, "ttl", "how `LONG` the link can be used, as 2d or 36h (default 24h)", linkLife, time.Minute, longest)
	if err := parse(fs, args, "Prints a link that makes one user, or gives an existing one a new password", stdout); err != nil {
		return helped(err)
	}
	return withData(ctx, *dir, func(d *data) error {
		i, err := d.issuer()
		if err != nil {
			return err
		}
		link, err := i.Link(ctx, edp.Role(*role), *ttl)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, link)
		return err
	})
}

// onTheServer stands in the events of what is done with the data folder: nobody logs in.
const onTheServer = "lwc-cloud api-token on the server"

func apiTokenCommand(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("api-token", flag.ContinueOnError)
	dir := fs.String("data", "", "`DIR` of lwc-cloud serve, which may be running")
	name := fs.String("name", "", "`NAME` of the token's holder, as it stands in jobs")
	role := fs.String("role", string(edp.RoleStandard), "admin or standard: what the holder may do")
	ttl := lifetimeFlag(fs, "ttl", "how `LONG` the token lives, as 14d or 36h (default 90d)", 90*day, time.Second, longest)
	bearer := fs.Bool("bearer", false, "print it as ID.SECRET, for the header Authorization: Bearer ID.SECRET")
	list := fs.Bool("list", false, "list the tokens instead")
	revoke := fs.String("revoke", "", "revoke the token with this `ID` instead")
	at := fs.String("url", "", "`URL` that the holder reaches the cloud by, one of its public URLs (default the first)")
	if err := parse(fs, args, "Prints a token for the environment variable LWC_API_TOKEN", stdout); err != nil {
		return helped(err)
	}
	return withData(ctx, *dir, func(d *data) error {
		switch {
		case *list:
			return listTokens(ctx, d.store, stdout)
		case *revoke != "":
			return d.store.DeleteAPIToken(ctx, *revoke, onTheServer)
		case *name == "":
			return usageErrorf("api-token: --name NAME is needed")
		}
		i, err := d.issuerAt(*at)
		if err != nil {
			return err
		}
		t, err := i.APIToken(ctx, apitype.APITokenRequest{Name: *name, Role: *role, TTLSeconds: int64(*ttl / time.Second)})
		if err != nil {
			return err
		}
		text := t.Token
		if *bearer {
			text, err = bearerOf(text)
		}
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintln(stdout, text); err != nil { // nobody has it
			err = errors.Join(fmt.Errorf("writing the token: %w", err), d.store.DeleteAPIToken(context.WithoutCancel(ctx), t.ID, onTheServer))
		}
		return err
	})
}

// bearerOf unpacks what programs other than ours send of a token.
func bearerOf(token string) (string, error) {
	t, err := wire.ParseToken(wire.APIToken, secret.FromString(token))
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(apitype.Bearer(t), "Bearer "), nil
}

func listTokens(ctx context.Context, store *edp.Store, w io.Writer) error {
	tokens, err := store.APITokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		until := "never expires"
		if !t.Expires.IsZero() {
			until = "until " + t.Expires.Format(time.DateOnly)
		}
		if _, err := fmt.Fprintf(w, "%s  %-8s  %-16s  %s\n", t.ID, t.Role, until, t.Name); err != nil {
			return err
		}
	}
	return nil
}

func brokerCertCommand(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("broker-cert", flag.ContinueOnError)
	dir := fs.String("data", "", "`DIR` of lwc-cloud serve, which may be running; it is made if there is none")
	out := fs.String("out", "broker", "`FOLDER` to write to")
	var hosts several
	fs.Var(&hosts, "host", "`NAME` or address that the broker is reached by; may be repeated")
	if err := parse(fs, args, "Writes certificates and configuration for a broker of your own, such as mosquitto", stdout); err != nil {
		return helped(err)
	}
	if *dir == "" || len(hosts) == 0 {
		return usageErrorf("broker-cert: --data DIR and --host NAME are needed")
	}
	if err := checkFolder(*dir, true); err != nil {
		return err
	}
	authority, err := pki.Open(filepath.Join(*dir, pkiFolder))
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := writeBroker(authority, hosts, *out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s has ca.pem, broker.pem and broker.key for the broker at %s, lwc-cloud.pem and lwc-cloud.key\n"+
		"for tests, and configuration to start from. Renew them every year.\n", *out, hosts.String())
	return err
}

// writeBroker fills the folder of a broker.
func writeBroker(authority *pki.PKI, hosts []string, out string) error {
	server, client, err := authority.IssueBroker(hosts)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fmt.Errorf("making the broker's folder: %w", err)
	}
	files := map[string][]byte{
		"ca.pem": authority.CAPEM(), "broker.pem": server.Certificate, "broker.key": server.Key,
		pki.CloudName + ".pem": client.Certificate, pki.CloudName + ".key": client.Key,
	}
	for name, b := range files {
		if err := keyfile.Write(filepath.Join(out, name), b); err != nil {
			return err
		}
	}
	return fs.WalkDir(broker.Deploy(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(broker.Deploy(), name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		return keyfile.Write(filepath.Join(out, name), b)
	})
}
