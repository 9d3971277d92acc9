package apitype

import (
	"fmt"
	"time"

	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

// Release is a release of the appliance.
type Release struct {
	Version     string            `json:"version"`
	State       string            `json:"state" doc:"published, or withdrawn: no box gets it any more."`
	Security    bool              `json:"security,omitempty" doc:"It closes a hole."`
	Floor       string            `json:"floor,omitempty" doc:"The oldest release that a box may come from."`
	Notes       string            `json:"notes,omitempty"`
	Created     time.Time         `json:"created" doc:"When it was made."`
	PublishedAt time.Time         `json:"published_at"`
	PublishedBy string            `json:"published_by"`
	WithdrawnAt time.Time         `json:"withdrawn_at,omitzero"`
	WithdrawnBy string            `json:"withdrawn_by,omitempty"`
	Reason      string            `json:"reason,omitempty" doc:"Why it was withdrawn."`
	Digest      string            `json:"digest" doc:"SHA-256 of the signed manifest."`
	Bytes       int64             `json:"bytes" doc:"What a box loads."`
	Files       []ReleaseFile     `json:"files"`
	Approvals   []ReleaseApproval `json:"approvals,omitempty" doc:"For boxes whose policy asks for one."`
	Running     int               `json:"running" doc:"Boxes that run it."`
	Updating    int               `json:"updating" doc:"Boxes that are at it."`
	Failed      int               `json:"failed" doc:"Boxes that it failed on, and that run an older one."`
	Lost        int               `json:"lost,omitempty" doc:"Boxes that began it and have not been heard for an hour."`
	Halted      bool              `json:"halted,omitempty" doc:"It is held back: it failed on several boxes, and on more than a tenth of those that tried it; or a box is lost over it, and none has proved it."`
	HaltedWhy   string            `json:"halted_why,omitempty" doc:"What it is held back for, in words."`
	Hold        string            `json:"hold,omitempty" doc:"Names what it is held back for: another box that it fails on makes it another. resume-release wants it."`

	ResumedAt     time.Time `json:"resumed_at,omitzero" doc:"When an admin last let it go on although it was held back: what failed before does not count against it."`
	ResumedBy     string    `json:"resumed_by,omitempty"`
	ResumedReason string    `json:"resumed_reason,omitempty"`
}

// Tally says in words how far the release has come.
func (r Release) Tally() string {
	text := fmt.Sprintf("%s it, %s at it, it failed on %d", count(r.Running, "runs", "run"), count(r.Updating, "is", "are"), r.Failed)
	if r.Lost > 0 {
		text += fmt.Sprintf(", %d began it and fell silent", r.Lost)
	}
	return text
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// ReleaseFile is one file of a release.
type ReleaseFile struct {
	Role   string `json:"role" doc:"root, verity or uki."`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// ReleaseApproval lets boxes take a release.
type ReleaseApproval struct {
	Collector string    `json:"collector,omitempty" doc:"Absent: all."`
	By        string    `json:"by"`
	At        time.Time `json:"at"`
}

// Releases is a list of releases, the newest version first.
type Releases struct {
	Releases []Release `json:"releases"`
}

// ReleaseWithdrawal takes a release back.
type ReleaseWithdrawal struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why, for those who look after the boxes."`
}

// ReleaseResumption lets a release go on that is held back.
type ReleaseResumption struct {
	Hold   string `json:"hold" minLength:"1" maxLength:"64" doc:"What it was held back for when that was looked at, as get-release names it. Where it is another by now nothing changes, and 409 tells it."`
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why, for those who look after the boxes."`
}

// ReleaseDecision approves a release.
type ReleaseDecision struct {
	Collectors []string `json:"collectors,omitempty" maxItems:"10000" doc:"For these; none: for all."`
	Undo       bool     `json:"undo,omitempty" doc:"Take that approval back; it is an error when there is none. An update that was sent stays."`
}

// Appliance is the box of a collector: what runs on it, and what comes next.
type Appliance struct {
	Collector string         `json:"collector"`
	Online    bool           `json:"online"`
	LastSeen  time.Time      `json:"last_seen,omitzero"`
	Firmware  string         `json:"firmware,omitempty" doc:"Version of the collector's daemon."`
	Box       wire.Box       `json:"box,omitzero" doc:"The machine, as the collector says itself."`
	Policy    rollout.Policy `json:"policy" doc:"When it may change its release."`
	OwnPolicy bool           `json:"own_policy" doc:"The policy is that of its fleet, and not the default."`
	When      string         `json:"when" doc:"The policy in words."`
	Wanted    string         `json:"wanted,omitempty" doc:"The release that it is to have next."`
	Why       string         `json:"why" doc:"What it waits for, in words."`
	Ask       bool           `json:"ask,omitempty" doc:"It goes on only when a person decides something."`
	Next      time.Time      `json:"next,omitzero" doc:"When that is looked at again; absent: when something happens."`
	Update    *Job           `json:"update,omitempty" doc:"Its newest update."`
}

// Runs is what runs on the box, in a word.
func (b Appliance) Runs() string {
	switch {
	case b.LastSeen.IsZero():
		return "not known yet"
	case b.Box.Image == "":
		return "no appliance"
	case b.Box.Trial:
		return b.Box.Image + " (on trial)"
	}
	return b.Box.Image
}

// Appliances is who runs what.
type Appliances struct {
	Policy rollout.Policy `json:"policy" doc:"Of collectors whose fleet has none."`
	When   string         `json:"when" doc:"The same in words."`
	Boxes  []Appliance    `json:"boxes"`
}

// UpdatePolicy is the policy of a collector, or the default of all.
type UpdatePolicy struct {
	Collector string         `json:"collector,omitempty" doc:"Absent: the default."`
	Inherited bool           `json:"inherited,omitempty" doc:"The collector has none of its own: this is the default."`
	Policy    rollout.Policy `json:"policy"`
	When      string         `json:"when" doc:"The same in words."`
}
