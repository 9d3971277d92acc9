package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/issue"
	"lwc/cloud/client"
	"lwc/image/sitefile"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// fileTTL is how long the token of a file lives: it travels to the site.
const fileTTL = 7 * 24 * time.Hour

func enrolTokenCmd() clientCmd {
	return clientCmd{
		name: "enrol-token", summary: "Make a token that enrols a collector, alone or in the file of an appliance",
		details: "The token goes to standard output, or into a file that only you can read. It is shown once.\n" +
			"With --file it stands in lwc.toml, the one file that an appliance gets: the flags below say what is known of\n" +
			"its site, and what is not stands there to be filled in. docs/field-guide.md tells where the file goes.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			collector := fs.String("collector", "", "bind the token to this collector `ID`")
			uses := fs.Int("uses", 1, "how many collectors it enrols")
			ttl := lifetimeFlag(fs, "ttl", "how `LONG` it lives: 14d, 36h or 90m, 90d at most (default 24h; with --file 7d, for the way to the site)", 0, leastTTL, mostTTL)
			label := fs.String("label", "", "what it is for, in a `LINE`: it stands in the list of open tokens")
			list := fs.Bool("list", false, "make none: list the tokens that still enrol somebody; never the tokens themselves")
			asJSON := fs.Bool("json", false, "with --list: print a JSON array")
			out := fs.String("out", "", "write the token alone to this `FILE`")
			revoke := fs.String("revoke", "", "make none: revoke the token with this `ID`")
			site := addSiteFlags(fs)
			return func(ctx context.Context, c *call) error {
				ask := apitype.EnrolTokenRequest{Collector: *collector, Uses: *uses, TTLSeconds: int64(ttl.Seconds()), Label: *label}
				if *ttl == 0 && *site.file != "" {
					ask.TTLSeconds = int64(fileTTL.Seconds())
				}
				switch {
				case *list && asksForMore(fs):
					return usageErrorf("--list makes no token: give it alone, or with --json")
				case *list:
					return listOpenTokens(ctx, c, *asJSON)
				case *asJSON:
					return usageErrorf("--json is for --list")
				case *revoke != "" && (*site.file != "" || *out != "" || *collector != ""):
					return usageErrorf("--revoke makes no token: give it alone")
				case *revoke != "":
					return revokeToken(ctx, c, *revoke)
				case *site.file != "" && *out != "":
					return usageErrorf("--out is for a token alone, --file for lwc.toml: give one of them")
				case *site.file != "":
					return enrolFile(ctx, c, ask, site)
				case len(site.changes) > 0 || *site.from != "":
					return usageErrorf("what is known of the site goes into lwc.toml: give --file too")
				}
				return enrolToken(ctx, c, ask, *out)
			}
		},
	}
}

func enrolToken(ctx context.Context, c *call, ask apitype.EnrolTokenRequest, out string) error {
	if out == "" {
		t, err := newToken(ctx, c, ask, func(t apitype.EnrolToken) error {
			_, err := fmt.Fprintln(c.stdout, t.Token)
			return err
		})
		if err == nil {
			fmt.Fprintf(c.stderr, "token %s, good until %s; to revoke it: lwc-cloud enrol-token --revoke %s\n", t.ID, t.Expires.Format(time.RFC3339), t.ID)
		}
		return err
	}
	p, err := reserve(out, tokenRoom)
	if err != nil {
		return fmt.Errorf("no token was made: %w", err)
	}
	t, err := newToken(ctx, c, ask, func(t apitype.EnrolToken) error { return p.write([]byte(t.Token + "\n")) })
	if err != nil {
		return errors.Join(err, p.leave())
	}
	_, err = fmt.Fprintf(c.stdout, "token %s written to %s, good until %s\n", t.ID, out, t.Expires.Format(time.RFC3339))
	return err
}

// tokenRoom is more than a token has.
const tokenRoom = 4 << 10

// revokeWithin is how long a token that nobody has may take to be revoked.
const revokeWithin = 20 * time.Second

// newToken makes a token and has it kept. Where that fails nobody has it, so it is
// revoked: also when the command is being ended.
func newToken(ctx context.Context, c *call, ask apitype.EnrolTokenRequest, keep func(apitype.EnrolToken) error) (apitype.EnrolToken, error) {
	t, err := c.EnrolToken(ctx, ask)
	if err != nil {
		return t, err
	}
	kept := keep(t)
	if kept == nil {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeWithin)
	defer cancel()
	if err := c.RevokeEnrolToken(ctx, t.ID); err != nil {
		return t, fmt.Errorf("writing the token: %w\nit is good until %s, and could not be revoked (%w): lwc-cloud enrol-token --revoke %s", kept, t.Expires.Format(time.RFC3339), err, t.ID)
	}
	return t, fmt.Errorf("writing the token: %w\nit was revoked, since nobody has it", kept)
}

func revokeToken(ctx context.Context, c *call, id string) error {
	err := c.RevokeEnrolToken(ctx, id)
	var refused *client.Problem
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return fmt.Errorf("no token %s is known: lwc-cloud enrol-token --list shows those that are open", id)
	} else if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "token %s is revoked; who enrolled with it stays\n", id)
	return err
}

// enrolFile makes lwc.toml. What is known of the site is checked before the token
// is made.
func enrolFile(ctx context.Context, c *call, ask apitype.EnrolTokenRequest, s *siteFlags) error {
	known, doubts, err := s.known()
	if err != nil {
		return err
	}
	if ask.Collector != "" {
		known.CollectorID = "" // the token says it
	}
	url, err := cloudOfTokens(ctx, c)
	if err != nil {
		return err
	}
	if err := s.judge(url, known, doubts); err != nil {
		return err
	}
	if _, err := os.Lstat(*s.file); !errors.Is(err, fs.ErrNotExist) && !sameFile(*s.file, *s.from) {
		return fmt.Errorf("%s exists: name another file, or add --from %s to keep its settings", *s.file, *s.file)
	}
	before := ""
	if sameFile(*s.file, *s.from) {
		before = unusedToken(known)
	}
	p, err := reserve(*s.file, sitefile.MaxSize)
	if err != nil {
		return fmt.Errorf("no token was made: %w", err)
	}
	next := ""
	t, err := newToken(ctx, c, ask, func(t apitype.EnrolToken) error {
		text, whole, err := issue.SiteFile(t, known)
		next = nextStep(*s.file, text, whole)
		if err != nil {
			return err
		}
		return p.write(text)
	})
	if err != nil {
		return errors.Join(err, p.leave())
	}
	warnOfLoopback(c, t)
	_, err = fmt.Fprintf(c.stdout, "%s written with token %s, good until %s\n%s\n", *s.file, t.ID, t.Expires.Format(time.RFC3339), next)
	if before != "" && err == nil {
		_, err = fmt.Fprintf(c.stdout, "its token before, %s, may be good still for who has a copy of the old file; to be sure: lwc-cloud enrol-token --revoke %s\n", before, before)
	}
	return err
}

// nextStep says what a file still needs. What the token names besides the cloud, a
// broker elsewhere, is known only once it is made.
func nextStep(path string, text []byte, complete bool) string {
	if complete {
		return "it is complete: docs/field-guide.md tells where it goes"
	}
	step := "fill in what is marked FILL IN, then check it: lwc-cloud image check --config " + path
	if _, doubts, err := sitefile.Draft(sitefile.Name, text); err == nil && len(doubts) > 0 {
		step = "it does not work as it is:\n" + doubts.Error() + "\n" + step
	}
	return step
}

// warnOfLoopback tells of a file with which a box elsewhere gets nowhere. One that is
// tried on the computer of the cloud may work, so it is made all the same.
func warnOfLoopback(c *call, t apitype.EnrolToken) {
	f := sitefile.File{Token: secret.FromString(t.Token)}
	if at := f.Loopback(); at != "" {
		fmt.Fprintf(c.stderr, "warning: the file says that the cloud is at %s, which is the computer itself: a box never reaches it.\n"+
			"Start the cloud with --public-url https://NAME:PORT, the name or address by which boxes reach it, then make the file anew.\n", at)
	}
}

// unusedToken names the token that a file has; empty: none.
func unusedToken(f sitefile.File) string {
	if t, err := wire.ParseToken(wire.EnrolToken, f.Token); err == nil {
		return t.ID
	}
	return ""
}

func sameFile(a, b string) bool { return b != "" && filepath.Clean(a) == filepath.Clean(b) }

// siteFlags are the flags that say what is known of a site.
type siteFlags struct {
	file, from *string
	forgets    []func(*sitefile.File) // what of --from gives way to them
	changes    []func(*sitefile.File) // what they say, in their order
}

// known is what the file that --from names says, changed by the flags. Doubts are what
// is wrong with the values of that file, before the change.
func (s *siteFlags) known() (f sitefile.File, doubts sitefile.Problems, err error) {
	if *s.from != "" {
		text, err := os.ReadFile(*s.from)
		if err != nil {
			return f, nil, fmt.Errorf("reading the settings: %w", err)
		}
		old, wrong, err := sitefile.Draft(*s.from, text)
		if err != nil {
			return f, nil, fmt.Errorf("no token was made; %s is wrong:\n%w", *s.from, err)
		}
		f, doubts = *old, wrong
		f.CAPin = "" // the new token's counts
	}
	for _, change := range slices.Concat(s.forgets, s.changes) {
		change(&f)
	}
	return f, doubts, nil
}

// judge says what is wrong with the settings as a whole: with its place in the file of
// --from, where the flags have not put it right.
func (s *siteFlags) judge(url string, known sitefile.File, doubts sitefile.Problems) error {
	err := issue.CheckSite(url, known)
	var wrong sitefile.Problems
	if !errors.As(err, &wrong) {
		return err
	}
	stays := slices.DeleteFunc(doubts, func(d sitefile.Problem) bool {
		return !slices.ContainsFunc(wrong, func(w sitefile.Problem) bool { return w.Key == d.Key && w.Text == d.Text })
	})
	if len(stays) == len(wrong) {
		return fmt.Errorf("no token was made; %s is wrong:\n%w", *s.from, stays)
	}
	return fmt.Errorf("no token was made; the settings are wrong:\n%w", wrong)
}
