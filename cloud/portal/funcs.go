package portal

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/cloud/api/apitype"
	"lwc/transport/wire"
)

// staleAfter is when facts count as old: collections are daily.
const staleAfter = 26 * time.Hour

// funcs is what templates may call.
func funcs() template.FuncMap {
	return template.FuncMap{
		"join":      strings.Join,
		"bytes":     func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
		"ago":       humanize.Time,
		"stamp":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"when":      when,
		"age":       age,
		"stale":     func(t time.Time) bool { return !t.IsZero() && time.Since(t) > staleAfter },
		"took":      took,
		"seconds":   func(s float64) string { return span(time.Duration(s * float64(time.Second))) },
		"short":     short,
		"tone":      tone,
		"deviceURL": deviceURL,
		"flag":      flagWords,
		"ms":        func(s float64) string { return fmt.Sprintf("%.0f ms", s*1000) },
		"classURL":  classURL,

		"jobTitle":     jobTitle,
		"identity":     apitype.IdentityText,
		"secureBoot":   apitype.SecureBootText,
		"commandLine":  apitype.CommandLineText,
		"schedule":     apitype.ScheduleText,
		"egress":       apitype.EgressText,
		"separation":   apitype.Separation,
		"portsSince":   apitype.PortsSince,
		"violations":   apitype.Violations,
		"portsTrouble": portsTone,
	}
}

func when(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func age(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return span(time.Since(t))
}

// span is a length of time in its largest fitting unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "–"
	}
	if d := to.Sub(from); d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.1f s", to.Sub(from).Seconds())
}

// short shows the end of an id, where ULIDs differ, and the start of a hash.
func short(s string) string {
	switch {
	case len(s) == 26:
		return s[18:]
	case len(s) > 12:
		return s[:12]
	}
	return s
}

// tone is the colour of a word.
func tone(word string) string {
	switch word {
	case "beating", "approved":
		return "good"
	case "lost":
		return "bad"
	case "ok", "complete", "done", "online", "open", "active", "published", "updated", "release-published":
		return "good"
	case "failed", "refused", "denied", "blocked", "malformed", "interrupted", "device-error", "rejected", "revoked",
		"port-violation", "host-key-changed", "credential-refused",
		"over-privileged", "half-restarted", "dial-refused", "update-failed", "held back":
		return "bad"
	case "partial", "retry-later", "down", "config-rejected", "unknown-item", "host-key-first-use", "clock-step", "job-refused",
		"legacy-algorithms", "skipped", "unsupported", "withheld", "declined", "waiting", "awaited", "withdrawn", "called-off", "job-called-off", "update-policy", "collector-revoked", "factory-reset", "enrol-token-revoked", "api-token-revoked", "release-withdrawn", "release-resumed":
		return "warn"
	case "running", "accepted", "queued":
		return "busy"
	}
	return ""
}

// portsTone is the colour of what has to be known of the ports: red when they are
// closed or not separated.
func portsTone(p wire.PortState) string {
	if p.State != "open" || !strings.HasPrefix(apitype.Separation(p), "separated") {
		return "bad"
	}
	return "warn"
}

// flagWords say what a flag of a document means.
func flagWords(flag string) string {
	switch flag {
	case "partial":
		return "cut short: the device ended before its reply did"
	case "repaired-utf8":
		return "repaired: bytes that are not UTF-8 were replaced"
	case "malformed":
		return "not well-formed XML: the bytes are as they came"
	case "masked":
		return "masked: values were replaced by pseudonyms at the site"
	case "held":
		return "its bytes wait at the site for an approval"
	case "unchanged":
		return "told without its bytes: they are those of the time before"
	case "warnings":
		return "the reply carries warnings"
	}
	return flag
}

// jobTitle says what a job does.
func jobTitle(kind string) string {
	switch wire.JobKind(kind) {
	case wire.JobProbe:
		return "Connection test"
	case wire.JobRenewCert:
		return "Renewal of the certificate"
	case wire.JobRestart:
		return "Restart"
	case wire.JobUpdate:
		return "Update"
	case wire.JobFactoryReset:
		return "Factory reset"
	}
	return "Collection"
}

// classURL is the page with the login class for a device's profile.
func classURL(collector, device, profile string) string {
	return "/login-class?" + url.Values{"collector": {collector}, "device": {device}, "profile": {profile}}.Encode()
}

func deviceURL(collector, device string) string {
	return "/collectors/" + url.PathEscape(collector) + "/devices/" + url.PathEscape(device)
}
