package junostest

import (
	"bytes"
	"fmt"
	"testing"

	"lwc/junos"
)

// TestCache asks twice, with other message-ids and attributes, and gets what a
// fleet without a cache answers.
func TestCache(t *testing.T) {
	plain, cached := newFleet(t, Config{Devices: 6}), newFleet(t, Config{Devices: 6, Cache: 1 << 30})
	for i, d := range cached.Devices() {
		for _, item := range junos.Catalogue() {
			for _, attrs := range []string{`message-id="1"`, `message-id="&lt;&quot;2"`, `xmlns="urn:x" message-id="1" a="b"`, `a="b" message-id="4"`, ``, `message-id="1"`} {
				msg := fmt.Appendf(nil, "<rpc %s>%s</rpc>", attrs, item.RPC())
				req, err := parseRequest(msg)
				if err != nil {
					t.Fatal(err)
				}
				got, gotItem, err := d.answered(req)
				if err != nil {
					t.Fatal(err)
				}
				want, wantItem, err := plain.Devices()[i].answer(req)
				if err != nil || !bytes.Equal(got, want) || gotItem != wantItem {
					t.Fatalf("%s %s: %v\n%.300s\nwant\n%.300s", d.Name, msg, err, got, want)
				}
			}
		}
	}
	if n := count(&cached.cache); n != 6*len(junos.Catalogue())*3 {
		t.Errorf("%d replies are kept", n)
	}
	small := newFleet(t, Config{Devices: 1, Cache: 20_000})
	for _, item := range junos.Catalogue() {
		req, err := parseRequest(fmt.Appendf(nil, `<rpc message-id="1">%s</rpc>`, item.RPC()))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := small.Devices()[0].answered(req); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	small.cache.all.Range(func(_, v any) bool { total += len(v.(cachedReply).head) + len(v.(cachedReply).tail); return true })
	if total == 0 || total > 20_000 {
		t.Errorf("%d bytes are kept, 20,000 may be", total)
	}
}

func count(c *replyCache) (n int) {
	c.all.Range(func(any, any) bool { n++; return true })
	return n
}
