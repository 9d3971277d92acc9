package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"lwc/cloud/api/apitype"
	"lwc/cloud/fleet"
	"lwc/transport/secret"
)

func esc(s string) string { return url.PathEscape(s) }

// set adds a query value unless it is empty.
func set(q url.Values, name, value string) url.Values {
	if value != "" {
		q.Set(name, value)
	}
	return q
}

// Collectors returns all collectors.
func (c *Client) Collectors(ctx context.Context) ([]apitype.Collector, error) {
	var out apitype.Collectors
	err := c.call(ctx, http.MethodGet, "/collectors", nil, nil, &out)
	return out.Collectors, err
}

// Revoke shuts a collector out and ends its session.
func (c *Client) Revoke(ctx context.Context, collector string) (apitype.Collector, error) {
	var out apitype.Collector
	err := c.call(ctx, http.MethodPost, "/collectors/"+esc(collector)+"/revoke", nil, nil, &out)
	return out, err
}

// EnrolToken makes a token that enrols collectors.
func (c *Client) EnrolToken(ctx context.Context, r apitype.EnrolTokenRequest) (apitype.EnrolToken, error) {
	var out apitype.EnrolToken
	err := c.call(ctx, http.MethodPost, "/enrol-tokens", nil, r, &out)
	return out, err
}

// OpenEnrolTokens returns the tokens that still enrol somebody, newest first, never the
// tokens themselves; and which cloud they name.
func (c *Client) OpenEnrolTokens(ctx context.Context) (apitype.OpenEnrolTokens, error) {
	var out apitype.OpenEnrolTokens
	err := c.call(ctx, http.MethodGet, "/enrol-tokens", nil, nil, &out)
	return out, err
}

// RevokeEnrolToken makes a token that enrols collectors worthless.
func (c *Client) RevokeEnrolToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/enrol-tokens/"+esc(id), nil, nil, nil)
}

// Apply makes s the desired configuration of a collector, secrets included.
func (c *Client) Apply(ctx context.Context, collector string, s fleet.Spec, dryRun bool) (apitype.Changes, error) {
	body, err := reveal(s)
	if err != nil {
		return apitype.Changes{}, err
	}
	defer clear(body)
	q := url.Values{}
	if dryRun {
		q.Set("dry_run", "true")
	}
	var out apitype.Changes
	err = c.call(ctx, http.MethodPut, "/collectors/"+esc(collector)+"/fleet", q, plain(body), &out)
	return out, err
}

// revealed is a fleet.Spec whose secrets are encoded and not redacted.
type revealed struct {
	fleet.Spec
	Credentials []revealedCredential `json:"credentials,omitempty"`
}

type revealedCredential struct {
	ID          string `json:"id"`
	Username    string `json:"username"`
	Password    string `json:"password,omitempty"`
	PrivateKey  string `json:"private_key,omitempty"`
	Passphrase  string `json:"passphrase,omitempty"`
	Certificate string `json:"certificate,omitempty"`
}

func reveal(s fleet.Spec) ([]byte, error) {
	text := func(t secret.Text) string { return string(t.Reveal()) }
	r := revealed{Spec: s}
	for _, c := range s.Credentials {
		r.Credentials = append(r.Credentials, revealedCredential{c.ID, c.Username, text(c.Password), text(c.PrivateKey), text(c.Passphrase), text(c.Certificate)})
	}
	r.Spec.Credentials = nil
	return json.Marshal(r)
}

// Fleet returns the desired configuration of a collector, without secrets.
func (c *Client) Fleet(ctx context.Context, collector string) (apitype.Fleet, error) {
	var out apitype.Fleet
	err := c.call(ctx, http.MethodGet, "/collectors/"+esc(collector)+"/fleet", nil, nil, &out)
	return out, err
}

// Devices returns the devices of a collector, or of all for "".
func (c *Client) Devices(ctx context.Context, collector string) ([]apitype.Device, error) {
	var out apitype.Devices
	err := c.call(ctx, http.MethodGet, "/devices", set(url.Values{}, "collector", collector), nil, &out)
	return out.Devices, err
}

// Collect asks for a collection now.
func (c *Client) Collect(ctx context.Context, collector string, r apitype.CollectRequest) (apitype.Job, error) {
	var out apitype.Job
	err := c.call(ctx, http.MethodPost, "/collectors/"+esc(collector)+"/collect", nil, r, &out)
	return out, err
}

// Probe asks for the diagnosis of devices.
func (c *Client) Probe(ctx context.Context, collector string, r apitype.ProbeRequest) (apitype.Job, error) {
	var out apitype.Job
	err := c.call(ctx, http.MethodPost, "/collectors/"+esc(collector)+"/probe", nil, r, &out)
	return out, err
}

// RotateMasking gives a collector a new masking key.
func (c *Client) RotateMasking(ctx context.Context, collector string) (apitype.Changes, error) {
	var out apitype.Changes
	err := c.call(ctx, http.MethodPost, "/collectors/"+esc(collector)+"/masking/rotate", nil, nil, &out)
	return out, err
}

// Job returns one job with the devices that are finished.
func (c *Client) Job(ctx context.Context, id string) (apitype.Job, error) {
	var out apitype.Job
	err := c.call(ctx, http.MethodGet, "/jobs/"+esc(id), nil, nil, &out)
	return out, err
}

// Jobs returns the jobs that wait or are under way, newest first; with over also the
// others.
func (c *Client) Jobs(ctx context.Context, collector string, over bool, limit int) ([]apitype.Job, error) {
	q := set(url.Values{"limit": {strconv.Itoa(limit)}}, "collector", collector)
	if over {
		q.Set("all", "true")
	}
	var out apitype.Jobs
	err := c.call(ctx, http.MethodGet, "/jobs", q, nil, &out)
	return out.Jobs, err
}

// CallOffJob calls a job off that no collector has taken.
func (c *Client) CallOffJob(ctx context.Context, id string) (apitype.Job, error) {
	var out apitype.Job
	err := c.call(ctx, http.MethodPost, "/jobs/"+esc(id)+"/call-off", nil, nil, &out)
	return out, err
}

// Runs returns runs, newest first.
func (c *Client) Runs(ctx context.Context, collector string, limit int) ([]apitype.Run, error) {
	q := set(url.Values{"limit": {strconv.Itoa(limit)}}, "collector", collector)
	var out apitype.Runs
	err := c.call(ctx, http.MethodGet, "/runs", q, nil, &out)
	return out.Runs, err
}

// Run returns one run with its devices and manifests.
func (c *Client) Run(ctx context.Context, id string) (apitype.Run, error) {
	var out apitype.Run
	err := c.call(ctx, http.MethodGet, "/runs/"+esc(id), nil, nil, &out)
	return out, err
}

// DocumentQuery chooses documents. Empty fields choose all.
type DocumentQuery struct {
	Collector, Device, Item, Run string
	Latest                       bool // only the newest of each device and item
	Limit                        int
}

// Documents returns documents, newest first.
func (c *Client) Documents(ctx context.Context, f DocumentQuery) ([]apitype.Document, error) {
	q := url.Values{"limit": {strconv.Itoa(f.Limit)}}
	set(set(set(set(q, "collector", f.Collector), "device", f.Device), "item", f.Item), "run", f.Run)
	if f.Latest {
		q.Set("latest", "true")
	}
	var out apitype.Documents
	err := c.call(ctx, http.MethodGet, "/documents", q, nil, &out)
	return out.Documents, err
}

// Raw writes the bytes of a document, exactly as its collector sent them.
func (c *Client) Raw(ctx context.Context, id string, w io.Writer) error {
	body, err := c.stream(ctx, "/documents/"+esc(id)+"/raw", nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("reading document %s: %w", id, err)
	}
	return nil
}

// Events returns events, newest first.
func (c *Client) Events(ctx context.Context, collector string, limit int) ([]apitype.Event, error) {
	q := set(url.Values{"limit": {strconv.Itoa(limit)}}, "collector", collector)
	var out apitype.Events
	err := c.call(ctx, http.MethodGet, "/events", q, nil, &out)
	return out.Events, err
}
