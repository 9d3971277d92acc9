package provision

import (
	"bytes"
	"context"
	"net"
	"slices"

	"lwc/image/sitefile"
	"lwc/transport/wire"
)

// decide takes the one file that counts, and acts on it.
func (p *Provisioner) decide(ctx context.Context, k knowledge, all []found) (Status, error) {
	one, problems := pick(k, all)
	var s Status
	var err error
	switch {
	case len(problems) > 0:
		s = refusal(k, one.source(), problems)
	case !one.hasFile():
		s, err = p.without(k, all)
	default:
		s, err = p.consider(ctx, k, one)
	}
	if err != nil {
		return s, err
	}
	s.Problems = append(s.Problems, k.unused(all)...)
	if s.State == Enrolled {
		s.Problems = append(s.Problems, p.scrub(ctx, k, all)...)
		err = p.sweepToken()
	}
	return s, err
}

// pick chooses among the volumes: an attached one before that of the box itself,
// because somebody has just plugged it in; and on each kind one that was not taken yet
// before the one that was.
func pick(k knowledge, all []found) (found, []sitefile.Problem) {
	for _, own := range []bool{false, true} {
		var files, fresh []found
		for _, f := range all {
			if f.volume.Own != own || k.over(f) {
				continue
			}
			if f.blocks() {
				return f, f.problems
			}
			if f.hasFile() {
				files = append(files, f)
			}
			if f.hasFile() && !k.taken.newest(f.raw) {
				fresh = append(fresh, f)
			}
		}
		if k.file != nil && len(fresh) > 0 {
			files = fresh
		}
		for _, f := range files {
			if !bytes.Equal(f.raw, files[0].raw) && !(k.taken.newest(f.raw) && k.taken.newest(files[0].raw)) {
				return f, []sitefile.Problem{{Kind: KindTwoVolumes, Text: "there are two volumes with different files: " + files[0].volume.String() + " and " + f.volume.String(),
					Do: "take out the one that is not meant"}}
			}
		}
		if len(files) > 0 {
			return files[0], nil
		}
	}
	return found{}, nil
}

// refusal is the status when nothing may change. A box with settings goes on.
func refusal(k knowledge, source string, problems []sitefile.Problem) Status {
	s := Status{State: k.state(), Source: source, Problems: problems}
	if s.State == Waiting {
		s.State = Refused
	}
	return s
}

// without is the status when no volume has a file.
func (p *Provisioner) without(k knowledge, all []found) (Status, error) {
	s := Status{State: k.state()}
	switch {
	case s.State != Waiting:
		s.Source = kept
		if s.State == Ready && !p.hasToken() {
			s.Problems = []sitefile.Problem{{Kind: KindNoToken, Text: "the box has its settings, but not the token to enrol with, which it does not keep",
				Do: "plug the volume with lwc.toml in again, and leave it there until the box has enrolled"}}
		}
	case len(all) > 0:
		for _, f := range all {
			s.Problems = append(s.Problems, f.problems...)
		}
	default:
		s.Problems = []sitefile.Problem{{Kind: KindNoVolume, Text: "there is no volume with the name " + sitefile.VolumeLabel,
			Do: bringOne}}
	}
	return s, nil
}

// consider checks a file, and takes it where it is good and new.
func (p *Provisioner) consider(ctx context.Context, k knowledge, one found) (Status, error) {
	f, problems := p.check(k, one)
	if len(problems) > 0 {
		s := refusal(k, one.source(), problems)
		if k.file == nil && slices.ContainsFunc(problems, func(q sitefile.Problem) bool { return q.Kind == sitefile.KindTokenUsed }) {
			s.State = Waiting // a box that was reset: its old file is no mistake
		}
		return s, nil
	}
	id := tokenID(f)
	if err := p.keep(k, f, id, one.raw); err != nil {
		return Status{}, err
	}
	if !k.enrolled {
		if err := p.handToken(f, id); err != nil {
			return Status{}, err
		}
	}
	if err := p.hand(ctx, f); err != nil {
		return Status{}, err
	}
	k.file = f
	return Status{State: k.state(), Source: one.source()}, nil
}

// check is all that can be said of a file on this box.
func (p *Provisioner) check(k knowledge, one found) (*sitefile.File, []sitefile.Problem) {
	parse := sitefile.Parse
	if k.enrolled {
		parse = sitefile.ParseSettings
	}
	f, err := parse(one.name, one.raw)
	if err != nil {
		return nil, problemsOf(err)
	}
	if k.enrolled {
		if problem := otherBox(k, f); problem != nil {
			return nil, []sitefile.Problem{*problem}
		}
		if k.file != nil {
			f.Endpoint, f.CAPin = k.file.Endpoint, k.file.CAPin
			if problems := f.CutOff(); problems != nil {
				return nil, problems
			}
		}
	}
	if k.file != nil && p.Works != nil && p.Works() && strange(k.file, f) {
		return nil, []sitefile.Problem{f.Problem(KindOtherCards, "internal.mac", "is neither of the two cards that this box works with, and external.mac is not either: the file is for another box",
			"plug it into that box; to move both ports to other cards of this one, move one first, then the other")}
	}
	return f, p.Check(f)
}

// strange tells that a file names none of the two cards that are in use: a stick for
// another box, which would take both ports down until somebody comes with another file.
func strange(was, is *sitefile.File) bool {
	same := func(a, b string) bool {
		one, errA := net.ParseMAC(a)
		two, errB := net.ParseMAC(b)
		return errA == nil && errB == nil && bytes.Equal(one, two)
	}
	for _, mac := range []string{is.Internal.MAC, is.External.MAC} {
		if same(mac, was.Internal.MAC) || same(mac, was.External.MAC) {
			return false
		}
	}
	return true
}

func problemsOf(err error) []sitefile.Problem {
	if many, ok := err.(sitefile.Problems); ok {
		return many
	}
	return []sitefile.Problem{{Kind: sitefile.KindUnreadable, Text: err.Error(), Do: "copy the file again"}}
}

// otherBox says that a file is not for this box, which has enrolled: with settings of
// another place it might not reach its cloud any more.
func otherBox(k knowledge, f *sitefile.File) *sitefile.Problem {
	var problem sitefile.Problem
	id := tokenID(f)
	switch {
	case id != "" && id != k.tokenID:
		problem = f.Problem(KindOtherBox, "token", "is for a box that has not enrolled, and this one has",
			"to change settings, remove the line with the token; to enrol anew, reset the box to factory settings first")
	case k.file != nil && otherCloud(k.file, f):
		problem = f.Problem(KindOtherBox, "endpoint", "is another cloud than the one that this box has enrolled with",
			"remove the line; to enrol anew, reset the box to factory settings first")
	default:
		return nil
	}
	return &problem
}

// otherCloud compares what a file says of its cloud, where it does, with what was so.
func otherCloud(was, is *sitefile.File) bool {
	return is.Endpoint != "" && is.Endpoint != was.Endpoint || is.CAPin != "" && is.CAPin != was.CAPin
}

// tokenID is the public name of the file's token; empty: it has none.
func tokenID(f *sitefile.File) string {
	t, err := wire.ParseToken(wire.EnrolToken, f.Token)
	if err != nil {
		return ""
	}
	t.Secret.Wipe()
	return t.ID
}
