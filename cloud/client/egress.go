package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"lwc/cloud/api/apitype"
	"lwc/cloud/ledger"
)

// Held returns the documents that wait for an approval, of a collector or of all
// for "".
func (c *Client) Held(ctx context.Context, collector string) ([]apitype.Held, error) {
	var out apitype.HeldList
	err := c.call(ctx, http.MethodGet, "/held", set(url.Values{}, "collector", collector), nil, &out)
	return out.Held, err
}

// Decide approves held documents, or declines them: all or none.
func (c *Client) Decide(ctx context.Context, ids []string, approve bool) error {
	verb := "/held/decline"
	if approve {
		verb = "/held/approve"
	}
	return c.call(ctx, http.MethodPost, verb, nil, apitype.Decision{IDs: ids}, nil)
}

// MachineJob asks a collector to do something to itself.
func (c *Client) MachineJob(ctx context.Context, collector string, r apitype.MachineJob) (apitype.Job, error) {
	var out apitype.Job
	err := c.call(ctx, http.MethodPost, "/collectors/"+esc(collector)+"/jobs", nil, r, &out)
	return out, err
}

// Ledger returns an export of the ledger of a collector, of one run or of all for
// "". The caller closes it.
func (c *Client) Ledger(ctx context.Context, collector, run string, d ledger.Documents) (io.ReadCloser, error) {
	q := set(set(url.Values{}, "run", run), "documents", string(d))
	return c.stream(ctx, "/collectors/"+esc(collector)+"/ledger", q)
}
