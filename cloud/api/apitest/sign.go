package apitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// identity is the key that the collectors of a Cloud have: one for all.
func identity() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// der is the public key of the collectors.
func (c *Cloud) der() []byte {
	c.tb.Helper()
	return must(x509.MarshalPKIXPublicKey(c.key.Public()))(c.tb)
}

// KeyPEM is the public key of the collectors, as a customer would give it.
func (c *Cloud) KeyPEM() []byte {
	c.tb.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.der()})
}

// Account signs a manifest as its collector would, chained to the newest one, and
// puts it into the store.
func (c *Cloud) Account(m wire.Manifest) {
	c.tb.Helper()
	m.Previous = must(c.Store.LastManifest(c.ctx(), m.Collector))(c.tb)
	plain := must(json.Marshal(m))(c.tb)
	frames := must(wire.Split(wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: m.Collector, Boot: m.Boot, Run: m.Run},
		plain, wire.Packing{Key: c.key}))(c.tb)
	h, _, err := wire.ParseFrame(frames[0])
	c.check(err)
	missing, err := c.Store.PutManifest(c.ctx(), m, edp.SignedManifest{Hash: wire.Digest(plain), Plain: plain, Envelope: *h.Envelope,
		SPKI: base64.StdEncoding.EncodeToString(c.der())})
	c.check(err)
	if len(missing) > 0 {
		c.tb.Fatalf("documents are missing: %v", missing)
	}
}

// Hold offers the configuration of devices for approval, as a collector in mode
// hold would, and returns the ids of the documents that wait.
func (c *Cloud) Hold(devices ...string) (ids []string) {
	c.tb.Helper()
	run := wire.NewID()
	var docs []edp.Document
	for _, id := range devices {
		d := edp.Document{ID: wire.NewID(), Collector: Collector, Boot: Boot, Run: run, Device: id, Item: "show-arp-no-resolve", Outcome: "ok",
			SHA256: wire.Digest([]byte(id)), Size: 48213, Flags: []string{wire.FlagMasked, wire.FlagHeld}, CollectedAt: time.Now(), Held: true}
		docs, ids = append(docs, d), append(ids, d.ID)
	}
	for i, s := range must(c.Store.PutDocuments(c.ctx(), docs))(c.tb) {
		if s != edp.PutOffered {
			c.tb.Fatalf("held document %d is %s", i, s)
		}
	}
	return ids
}
