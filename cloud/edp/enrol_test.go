package edp_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

type token struct {
	id  string
	sec secret.Text
}

func newToken(t *testing.T, s *edp.Store, spec edp.EnrolTokenSpec) token {
	t.Helper()
	id, sec, err := s.NewEnrolToken(t.Context(), spec)
	ok(t, err)
	return token{id, sec}
}

// admit asks for a certificate and returns the name that it would have.
func admit(t *testing.T, s *edp.Store, tok token, proposed, key string) (string, error) {
	var name string
	err := s.Admit(t.Context(), edp.Admission{Token: tok.id, Secret: tok.sec, Proposed: proposed, Default: "lwc-default",
		SPKI: key, Issue: func(c string) (edp.Enrolment, error) {
			name = c
			return edp.Enrolment{Collector: c, SPKI: key, Serial: "01", NotAfter: time.Now().Add(time.Hour)}, nil
		}})
	return name, err
}

func TestAdmission(t *testing.T) {
	for _, c := range []struct {
		name           string
		spec           edp.EnrolTokenSpec
		before         func(*edp.Store)
		proposed, want string
		err            error
	}{
		{"a new one", edp.EnrolTokenSpec{}, nil, site, site, nil},
		{"no id proposed", edp.EnrolTokenSpec{}, nil, "", "lwc-default", nil},
		{"bound, no id proposed", edp.EnrolTokenSpec{Collector: site}, nil, "", site, nil},
		{"bound, the same id", edp.EnrolTokenSpec{Collector: site}, nil, site, site, nil},
		{"bound to another", edp.EnrolTokenSpec{Collector: other}, nil, site, "", edp.ErrTokenBound},
		{"an id that is no id", edp.EnrolTokenSpec{}, nil, "a/b/c/+/#", "", edp.ErrInvalid},
		{"the cloud's own name", edp.EnrolTokenSpec{}, nil, "lwc-cloud", "", edp.ErrInvalid},
		{"an id of another key", edp.EnrolTokenSpec{}, func(s *edp.Store) { enrol(t, s, site) }, site, "", edp.ErrIDTaken},
		{"bound replaces another key", edp.EnrolTokenSpec{Collector: site}, func(s *edp.Store) { enrol(t, s, site) }, site, site, nil},
		{"a revoked id", edp.EnrolTokenSpec{}, func(s *edp.Store) { enrol(t, s, site); ok(t, s.Revoke(t.Context(), site, "ada")) }, site, "", edp.ErrRevoked},
		{"a pending id", edp.EnrolTokenSpec{}, func(s *edp.Store) {
			must[[]edp.Change](t)(s.PutFleet(t.Context(), smallFleet(site, "edge-1")))
		}, site, site, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			if c.before != nil {
				c.before(s)
			}
			name, err := admit(t, s, newToken(t, s, c.spec), c.proposed, "key 1")
			if !errors.Is(err, c.err) || (c.err == nil && name != c.want) {
				t.Fatalf("%q, %v; want %q, %v", name, err, c.want, c.err)
			}
			if c.err != nil {
				return
			}
			got := must[edp.Collector](t)(s.Collector(t.Context(), c.want))
			if got.State != edp.CollectorActive || got.SPKI != "key 1" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestBadTokens(t *testing.T) {
	s := open(t)
	good := newToken(t, s, edp.EnrolTokenSpec{TTL: time.Hour})
	short := newToken(t, s, edp.EnrolTokenSpec{TTL: time.Microsecond})
	for name, c := range map[string]struct {
		tok  token
		want error
	}{
		"another secret": {token{good.id, short.sec}, edp.ErrTokenUnknown},
		"no secret":      {token{good.id, secret.Text{}}, edp.ErrTokenUnknown},
		"unknown":        {token{"0123456789abcdef", good.sec}, edp.ErrTokenUnknown},
		"expired":        {short, edp.ErrTokenExpired},
	} {
		if _, err := admit(t, s, c.tok, site, "key 1"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if list := must[[]edp.Collector](t)(s.Collectors(t.Context())); len(list) != 0 {
		t.Errorf("entered: %+v", list)
	}
}

// A token that was used up, or has run out, is open to nobody.
func TestOpenTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		used := newToken(t, s, edp.EnrolTokenSpec{By: "ada"})
		newToken(t, s, edp.EnrolTokenSpec{TTL: time.Minute})
		if _, err := admit(t, s, used, site, "key 1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		last := newToken(t, s, edp.EnrolTokenSpec{Collector: other, By: "ann", Label: "Paris"})
		list, err := s.OpenEnrolTokens(t.Context())
		if err != nil || len(list) != 1 || list[0].ID != last.id || list[0].By != "ann" || list[0].Label != "Paris" || list[0].Collector != other || list[0].UsesLeft != 1 {
			t.Errorf("open: %+v, %v", list, err)
		}
	})
}

// The answer to an enrolment may be lost: the same key asks again.
func TestATokenIsSpentByAKeyNotByARequest(t *testing.T) {
	s := open(t)
	tok := newToken(t, s, edp.EnrolTokenSpec{})
	for range 3 {
		if _, err := admit(t, s, tok, site, "key 1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ id, key string }{{other, "key 2"}, {other, "key 1"}, {site, "key 2"}} {
		if _, err := admit(t, s, tok, c.id, c.key); !errors.Is(err, edp.ErrTokenUsed) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestAKeyHasOneNameByOneToken(t *testing.T) {
	s := open(t)
	tok := newToken(t, s, edp.EnrolTokenSpec{Uses: 3})
	if _, err := admit(t, s, tok, site, "key 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := admit(t, s, tok, other, "key 1"); !errors.Is(err, edp.ErrTokenUsed) {
		t.Fatal(err)
	}
	if _, err := admit(t, s, tok, other, "key 2"); err != nil {
		t.Fatal(err)
	}
}

func TestATokenOfOneUseHasOneWinner(t *testing.T) {
	s := open(t)
	tok := newToken(t, s, edp.EnrolTokenSpec{})
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			id := string(rune('a'+i)) + "-collector"
			if _, err := admit(t, s, tok, id, "key of "+id); err == nil {
				won.Add(1)
			} else if !errors.Is(err, edp.ErrTokenUsed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || len(must[[]edp.Collector](t)(s.Collectors(t.Context()))) != 1 {
		t.Fatalf("%d collectors used a token of one use", won.Load())
	}
}

func TestAnAdmissionThatIssuesNothingSpendsNothing(t *testing.T) {
	s := open(t)
	tok := newToken(t, s, edp.EnrolTokenSpec{})
	boom := errors.New("no more ink")
	err := s.Admit(t.Context(), edp.Admission{Token: tok.id, Secret: tok.sec, Proposed: site, SPKI: "key 1",
		Issue: func(string) (edp.Enrolment, error) { return edp.Enrolment{}, boom }})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, err := admit(t, s, tok, other, "key 2"); err != nil {
		t.Fatal(err)
	}
}

func TestRevocation(t *testing.T) {
	s, ctx := open(t), t.Context()
	enrol(t, s, site)
	before := newToken(t, s, edp.EnrolTokenSpec{Collector: site})
	ok(t, s.Revoke(ctx, site, "ada"))
	if _, err := admit(t, s, before, site, "key 1"); !errors.Is(err, edp.ErrTokenUnknown) {
		t.Errorf("a token from before the revocation: %v", err)
	}
	if err := s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1"}); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("a hello: %v", err)
	}
	err := s.Enrolled(ctx, edp.Enrolment{Collector: site, SPKI: "key of " + site})
	if !errors.Is(err, edp.ErrRevoked) {
		t.Errorf("a renewal: %v", err)
	}
	if _, err := admit(t, s, newToken(t, s, edp.EnrolTokenSpec{Collector: site}), site, "key 2"); err != nil {
		t.Errorf("a token made for it afterwards: %v", err)
	}
	if err := s.Revoke(ctx, other, "ada"); !errors.Is(err, edp.ErrNotFound) {
		t.Error(err)
	}
}
