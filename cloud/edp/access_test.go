package edp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/secret"
)

const goodPassword = "correct horse battery"

func TestUsers(t *testing.T) {
	s, ctx := open(t), t.Context()
	ok(t, s.CreateUser(ctx, "ann", edp.RoleAdmin, text(goodPassword)))
	if u, err := s.Authenticate(ctx, "ann", text(goodPassword)); err != nil || u.Role != edp.RoleAdmin || u.Created.IsZero() {
		t.Fatalf("%+v, %v", u, err)
	}
	ok(t, s.SetPassword(ctx, "ann", text("another password")))
	for name, try := range map[string]func() error{
		"the old password":  func() error { _, err := s.Authenticate(ctx, "ann", text(goodPassword)); return err },
		"an unknown user":   func() error { _, err := s.Authenticate(ctx, "bob", text(goodPassword)); return err },
		"an empty password": func() error { _, err := s.Authenticate(ctx, "ann", secret.Text{}); return err },
		"a huge password":   func() error { _, err := s.Authenticate(ctx, "ann", text(strings.Repeat("x", 1<<20))); return err },
	} {
		if err := try(); !errors.Is(err, edp.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		err, want error
	}{
		"a taken name":        {s.CreateUser(ctx, "ann", edp.RoleStandard, text(goodPassword)), edp.ErrConflict},
		"a short password":    {s.CreateUser(ctx, "bob", edp.RoleStandard, text("short")), edp.ErrInvalid},
		"a bad name":          {s.CreateUser(ctx, "bob\n", edp.RoleStandard, text(goodPassword)), edp.ErrInvalid},
		"a bad role":          {s.CreateUser(ctx, "bob", "root", text(goodPassword)), edp.ErrInvalid},
		"nobody's password":   {s.SetPassword(ctx, "bob", text(goodPassword)), edp.ErrNotFound},
		"deleting nobody":     {s.DeleteUser(ctx, "bob"), edp.ErrNotFound},
		"deleting a user":     {s.DeleteUser(ctx, "ann"), nil},
		"using a deleted one": {func() error { _, err := s.User(ctx, "ann"); return err }(), edp.ErrNotFound},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}

func TestPasswordCheckingStopsWithItsCaller(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Authenticate(ctx, "ann", text(goodPassword)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestALinkWorksOnce(t *testing.T) {
	s, ctx := open(t), t.Context()
	link := must[secret.Text](t)(s.NewLink(ctx, edp.RoleAdmin, time.Hour))
	ok(t, s.CheckLink(ctx, link))
	if _, err := s.UseLink(ctx, link, "ann", text("short")); !errors.Is(err, edp.ErrInvalid) {
		t.Fatal(err)
	}
	ok(t, s.CheckLink(ctx, link)) // a mistake does not spend it
	u, err := s.UseLink(ctx, link, "ann", text(goodPassword))
	if err != nil || u.Role != edp.RoleAdmin {
		t.Fatal(u, err)
	}
	if _, err := s.UseLink(ctx, link, "eve", text(goodPassword)); !errors.Is(err, edp.ErrLink) {
		t.Fatal(err)
	}
	if _, err := s.NewLink(ctx, edp.RoleAdmin, -time.Second); !errors.Is(err, edp.ErrInvalid) {
		t.Fatal(err)
	}
	expired := must[secret.Text](t)(s.NewLink(ctx, edp.RoleAdmin, time.Microsecond))
	if err := s.CheckLink(ctx, expired); !errors.Is(err, edp.ErrLink) {
		t.Fatal(err)
	}
}

func TestALinkResetsAUser(t *testing.T) {
	s, ctx := open(t), t.Context()
	ok(t, s.CreateUser(ctx, "ann", edp.RoleAdmin, text(goodPassword)))
	ok(t, s.CreateUser(ctx, "bob", edp.RoleStandard, text(goodPassword)))
	before := must[edp.User](t)(s.User(ctx, "bob"))
	link := must[secret.Text](t)(s.NewLink(ctx, edp.RoleStandard, time.Hour))
	if _, err := s.UseLink(ctx, link, "ann", text("a new password")); !errors.Is(err, edp.ErrConflict) {
		t.Fatalf("a link for standard users took over an admin: %v", err)
	}
	must[edp.User](t)(s.Authenticate(ctx, "ann", text(goodPassword)))
	u := must[edp.User](t)(s.UseLink(ctx, link, "bob", text("a new password")))
	if u.Stamp == before.Stamp || u.Stamp != must[edp.User](t)(s.Authenticate(ctx, "bob", text("a new password"))).Stamp {
		t.Fatal("the stamp of a user does not go with the password")
	}
	promote := must[secret.Text](t)(s.NewLink(ctx, edp.RoleAdmin, time.Hour))
	if up := must[edp.User](t)(s.UseLink(ctx, promote, "bob", text("a new password"))); up.Role != edp.RoleAdmin {
		t.Fatal(up)
	}
}

func TestAPITokens(t *testing.T) {
	s, ctx := open(t), t.Context()
	id, sec, err := s.NewAPIToken(ctx, "ci", edp.RoleStandard, time.Hour)
	ok(t, err)
	if p, err := s.CheckAPIToken(ctx, id, sec); err != nil || p != (edp.Principal{Name: "ci", Role: edp.RoleStandard}) {
		t.Fatal(p, err)
	}
	forever, foreverSecret, err := s.NewAPIToken(ctx, "backup", edp.RoleAdmin, 0)
	ok(t, err)
	if n := len(must[[]edp.APIToken](t)(s.APITokens(ctx))); n != 2 {
		t.Errorf("%d tokens", n)
	}
	ok(t, s.DeleteAPIToken(ctx, id, "ada"))
	denied := func(id string, sec secret.Text) {
		t.Helper()
		if _, err := s.CheckAPIToken(ctx, id, sec); !errors.Is(err, edp.ErrDenied) {
			t.Error(err)
		}
	}
	denied(id, sec)
	denied(forever, sec)
	denied("", secret.Text{})
	if _, err := s.CheckAPIToken(ctx, forever, foreverSecret); err != nil {
		t.Error(err)
	}
}

func TestSessions(t *testing.T) {
	s, ctx := open(t), t.Context()
	x := s.SessionStore()
	ok(t, x.CommitCtx(ctx, "token", []byte("one"), time.Now().Add(time.Hour)))
	ok(t, x.CommitCtx(ctx, "token", []byte("two"), time.Now().Add(time.Hour)))
	ok(t, x.CommitCtx(ctx, "old", []byte("gone"), time.Now().Add(-time.Second)))
	if b, found, err := x.FindCtx(ctx, "token"); err != nil || !found || string(b) != "two" {
		t.Fatalf("%q, %v, %v", b, found, err)
	}
	if _, found, err := x.Find("old"); err != nil || found {
		t.Fatal(found, err)
	}
	ok(t, x.Delete("token"))
	ok(t, x.Delete("token"))
	if _, found, _ := x.Find("token"); found {
		t.Fatal("a deleted session is found")
	}
}
