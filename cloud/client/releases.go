package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"encoding/json"

	"lwc/cloud/api/apitype"
	"lwc/cloud/rollout"
)

// Releases returns the releases of the appliance, the newest version first.
func (c *Client) Releases(ctx context.Context) ([]apitype.Release, error) {
	var out apitype.Releases
	err := c.call(ctx, http.MethodGet, "/releases", nil, nil, &out)
	return out.Releases, err
}

// Release returns one release.
func (c *Client) Release(ctx context.Context, version string) (apitype.Release, error) {
	var out apitype.Release
	err := c.call(ctx, http.MethodGet, "/releases/"+esc(version), nil, nil, &out)
	return out, err
}

// AddRelease publishes the release of a bundle of so many bytes.
func (c *Client) AddRelease(ctx context.Context, bundle io.Reader, size int64) (apitype.Release, error) {
	var out apitype.Release
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the cloud took nothing for %v", silence)) })
	defer timer.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/releases", &taken{bundle, timer})
	if err != nil {
		return out, fmt.Errorf("making a request: %w", err)
	}
	req.ContentLength = size
	req.Header.Set("Authorization", c.bearer)
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := c.long.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return out, explain(c.base, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return out, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		return out, problemOf(resp, answer)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("reading the answer: %w", err)
	}
	return out, nil
}

// taken is a body whose every Read puts off its end by silence.
type taken struct {
	r     io.Reader
	timer *time.Timer
}

// Read implements io.Reader.
func (t *taken) Read(p []byte) (int, error) {
	t.timer.Reset(silence)
	return t.r.Read(p)
}

// WithdrawRelease keeps a release from the boxes that do not run it.
func (c *Client) WithdrawRelease(ctx context.Context, version, reason string) (apitype.Release, error) {
	var out apitype.Release
	err := c.call(ctx, http.MethodPost, "/releases/"+esc(version)+"/withdraw", nil, apitype.ReleaseWithdrawal{Reason: reason}, &out)
	return out, err
}

// ResumeRelease lets a release go on that is held back, if it is by that hold still
// (apitype.Release.Hold).
func (c *Client) ResumeRelease(ctx context.Context, version, hold, reason string) (apitype.Release, error) {
	var out apitype.Release
	err := c.call(ctx, http.MethodPost, "/releases/"+esc(version)+"/resume", nil, apitype.ReleaseResumption{Hold: hold, Reason: reason}, &out)
	return out, err
}

// ApproveRelease lets boxes take a release whose policy asks for an approval.
func (c *Client) ApproveRelease(ctx context.Context, version string, d apitype.ReleaseDecision) (apitype.Release, error) {
	var out apitype.Release
	err := c.call(ctx, http.MethodPost, "/releases/"+esc(version)+"/approve", nil, d, &out)
	return out, err
}

// Boxes returns who runs what, and what comes next.
func (c *Client) Boxes(ctx context.Context) (apitype.Appliances, error) {
	var out apitype.Appliances
	err := c.call(ctx, http.MethodGet, "/boxes", nil, nil, &out)
	return out, err
}

// UpdatePolicy returns when the box of a collector may change its release, or for "" the
// default.
func (c *Client) UpdatePolicy(ctx context.Context, collector string) (apitype.UpdatePolicy, error) {
	var out apitype.UpdatePolicy
	err := c.call(ctx, http.MethodGet, policyPath(collector), nil, nil, &out)
	return out, err
}

func policyPath(collector string) string {
	if collector == "" {
		return "/update-policy"
	}
	return "/collectors/" + esc(collector) + "/update-policy"
}

// SetUpdatePolicy changes when the box of a collector may change its release, or for
// "" when those may whose fleet does not say.
func (c *Client) SetUpdatePolicy(ctx context.Context, collector string, p rollout.Policy) (apitype.UpdatePolicy, error) {
	var out apitype.UpdatePolicy
	err := c.call(ctx, http.MethodPut, policyPath(collector), nil, p, &out)
	return out, err
}
