package site

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"lwc/cloud/api/apitype"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// downloads returns what gets a document's bytes from the API over one
// connection: a run has 648 of them, and a process of the client for each would
// take longer than the run.
func (s *Site) downloads(ctx context.Context, t *testing.T) func(id string) string {
	t.Helper()
	token, err := wire.ParseToken(wire.APIToken, secret.FromString(strings.TrimPrefix(s.env[0], "LWC_API_TOKEN=")))
	must(t, err)
	over := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the site's own authority
		DialContext:     func(ctx context.Context, _, addr string) (net.Conn, error) { return s.cnet.dial(ctx, addr) }}
	t.Cleanup(over.CloseIdleConnections)
	return func(id string) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, CloudURL+apitype.Prefix+"/documents/"+id+"/raw", nil)
		must(t, err)
		req.Header.Set("Authorization", apitype.Bearer(token))
		resp, err := over.RoundTrip(req)
		must(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("document %s: %s: %s", id, resp.Status, body)
		}
		return string(body)
	}
}
