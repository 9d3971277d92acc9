package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"lwc/cloud/edp"
	"lwc/cloud/ingest"
	"lwc/transport/wire"
)

// ready is a collector that said hello, and the run of a job for it.
func ready(t *testing.T, s setup) (*cloud, *box, string) {
	t.Helper()
	c := startCloud(t, s)
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1", "edge-2")
	j := c.collect(t, alpha, time.Hour)
	b.connect()
	b.hello()
	return c, b, j.Run
}

func (c *cloud) stored(t *testing.T, id string) []byte {
	t.Helper()
	d, err := c.store.Document(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d.Body
}

func TestDocumentsComeThroughByteForByte(t *testing.T) {
	c, b, run := ready(t, setup{})
	for name, body := range map[string][]byte{
		"show-version": reply("edge-1"), "show-interfaces-terse": noise(900 << 10), "show-system-alarms": []byte("<a/>"),
	} {
		h := b.fact(run, "edge-1", name)
		b.send(h, body, wire.Packing{})
		if r := b.receipt(h.ID); r.Status != wire.Stored {
			t.Fatalf("%s: %+v", name, r)
		}
		if !bytes.Equal(c.stored(t, h.ID), body) {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestSealedDocuments(t *testing.T) {
	c, b, run := ready(t, setup{seal: true})
	key := b.hello().IngestKey
	h, body := b.fact(run, "edge-1", "show-interfaces-terse"), noise(300<<10)
	b.send(h, body, wire.Packing{SealTo: key})
	if r := b.receipt(h.ID); r.Status != wire.Stored || !bytes.Equal(c.stored(t, h.ID), body) {
		t.Errorf("sealed: %+v", r)
	}
	other, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	h = b.fact(run, "edge-1", "show-version")
	b.send(h, body[:100], wire.Packing{SealTo: other.Public()})
	if r := b.receipt(h.ID); r.Status != wire.Rejected || r.Code != ingest.CodeSealed || !r.Retryable {
		t.Errorf("sealed to another key: %+v", r)
	}
}

func TestRedeliveryIsADuplicate(t *testing.T) {
	c, b, run := ready(t, setup{})
	h := b.fact(run, "edge-1", "show-version")
	b.send(h, reply("edge-1"), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Stored {
		t.Fatal(r)
	}
	b.send(h, reply("edge-1"), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Duplicate {
		t.Errorf("the same document again: %+v", r)
	}
	again := b.fact(run, "edge-1", "show-version")
	b.send(again, reply("edge-1"), wire.Packing{})
	if r := b.receipt(again.ID); r.Status != wire.Duplicate {
		t.Errorf("the same item of the same run again: %+v", r)
	}
	docs, err := c.store.Documents(t.Context(), edp.DocumentFilter{Collector: alpha})
	if err != nil || len(docs) != 1 {
		t.Errorf("%d documents, %v", len(docs), err)
	}
}

func TestPartsReorderedRepeatedAndLost(t *testing.T) {
	c, b, run := ready(t, setup{})
	h, body := b.fact(run, "edge-1", "show-interfaces-terse"), noise(1<<20)
	frames := split(t, h, body, wire.Packing{})
	if len(frames) < 5 {
		t.Fatalf("only %d parts", len(frames))
	}
	for _, f := range frames[1:] { // the first is lost
		b.publish(wire.KindFact, f)
	}
	mathrand.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
	for _, f := range append(frames, frames[0]) {
		b.publish(wire.KindFact, f)
	}
	if r := b.receipt(h.ID); r.Status != wire.Stored || !bytes.Equal(c.stored(t, h.ID), body) {
		t.Errorf("%+v", r)
	}
	small := b.fact(run, "edge-1", "show-version") // the collector is still heard
	b.send(small, reply("x"), wire.Packing{})
	b.receipt(small.ID)
}

func TestManyDocumentsAreReceiptedInBatches(t *testing.T) {
	_, b, run := ready(t, setup{})
	var ids []string
	for i := range 300 {
		h := b.fact(run, "edge-1", fmt.Sprintf("item-%d", i))
		ids = append(ids, h.ID)
		for _, f := range split(t, h, reply("edge-1"), wire.Packing{}) {
			b.client.Publish(wire.Topics{}.Name(alpha, wire.Up, wire.KindFact), 1, false, f)
		}
	}
	for id, r := range b.receipts(ids) {
		if r.Status != wire.Stored {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

// raw makes a frame of any header.
func raw(t *testing.T, header any, body []byte) []byte {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint32([]byte("LWF1"), uint32(len(h)))
	return append(append(b, h...), body...)
}

func compressed(t *testing.T, plain []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(plain, nil)
}

func TestBadDocumentsAreRejectedOneByOne(t *testing.T) {
	c, b, run := ready(t, setup{ingest: func(i *ingest.Config) { i.MaxDocument = 4 << 20 }})
	zeros := make([]byte, 200<<20)
	bomb := compressed(t, zeros)
	whole := func(change func(*wire.Header), body []byte) []byte {
		h := b.fact(run, "edge-1", "show-version")
		plain := reply("edge-1")
		h.V, h.SHA256, h.Size, h.Enc, h.Parts = wire.Version, wire.Digest(plain), int64(len(plain)), wire.EncIdentity, 1
		if body == nil {
			body = plain
		}
		change(&h)
		return raw(t, h, body)
	}
	for name, f := range map[string]struct {
		code  string
		frame []byte
	}{
		"another collector":  {ingest.CodeHeader, whole(func(h *wire.Header) { h.Collector = beta }, nil)},
		"another type":       {ingest.CodeHeader, whole(func(h *wire.Header) { h.Type = wire.KindRun }, nil)},
		"no run":             {ingest.CodeHeader, whole(func(h *wire.Header) { h.Run = "" }, nil)},
		"a path as device":   {ingest.CodeHeader, whole(func(h *wire.Header) { h.Device = "../etc" }, nil)},
		"markup as item":     {ingest.CodeHeader, whole(func(h *wire.Header) { h.Item = "<b>" }, nil)},
		"markup as raw hash": {ingest.CodeHeader, whole(func(h *wire.Header) { h.RawSHA256 = strings.Repeat("<", 64) }, nil)},
		"negative raw size":  {ingest.CodeHeader, whole(func(h *wire.Header) { h.RawSize = -1 }, nil)},
		"wrong hash":         {ingest.CodeFrame, whole(func(h *wire.Header) { h.SHA256 = wire.Digest(nil) }, nil)},
		"wrong size":         {ingest.CodeFrame, whole(func(h *wire.Header) { h.Size++ }, nil)},
		"unknown encoding":   {ingest.CodeFrame, whole(func(h *wire.Header) { h.Enc = "lzma" }, nil)},
		"not zstd":           {ingest.CodeFrame, whole(func(h *wire.Header) { h.Enc = wire.EncZstd }, nil)},
		"too large":          {ingest.CodeTooLarge, whole(func(h *wire.Header) { h.Size = 5 << 20 }, nil)},
		"bomb, small claim":  {ingest.CodeTooLarge, whole(func(h *wire.Header) { h.Enc = wire.EncZstd }, bomb)},
		"bomb, honest claim": {ingest.CodeTooLarge, whole(func(h *wire.Header) { h.Enc, h.Size = wire.EncZstd, int64(len(zeros)) }, bomb)},
		"another version":    {ingest.CodeFrame, whole(func(h *wire.Header) { h.V = 2 }, nil)},
		"part beyond parts":  {ingest.CodeFrame, whole(func(h *wire.Header) { h.Part = 3 }, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			id := idOf(t, f.frame)
			b.publish(wire.KindFact, f.frame)
			if r := b.receipt(id); r.Status != wire.Rejected || r.Code != f.code || r.Retryable {
				t.Errorf("receipt %+v, want code %s", r, f.code)
			}
		})
	}
	for _, garbage := range [][]byte{nil, []byte("LWF1"), []byte("LWF1\xff\xff\xff\xff"), []byte("hello"), noise(100 << 10), raw(t, 5, nil)} {
		b.publish(wire.KindFact, garbage)
		b.publish(wire.KindRun, garbage)
	}
	h := b.fact(run, "edge-2", "show-version")
	b.send(h, reply("edge-2"), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Stored {
		t.Errorf("a good document after bad ones: %+v", r)
	}
	if !c.hasEvent(t, alpha, EventRefused) {
		t.Error("no event tells")
	}
}

func idOf(t *testing.T, frame []byte) string {
	t.Helper()
	n := binary.BigEndian.Uint32(frame[4:8])
	var h struct{ ID string }
	if err := json.Unmarshal(frame[8:8+n], &h); err != nil {
		t.Fatal(err)
	}
	return h.ID
}

func TestManifests(t *testing.T) {
	c, b, run := ready(t, setup{})
	body := reply("edge-1")
	sent, lost := b.fact(run, "edge-1", "show-version"), b.fact(run, "edge-1", "show-system-uptime")
	b.send(sent, body, wire.Packing{})
	m := wire.Manifest{Run: run, Started: time.Now().UTC(), Finished: time.Now().UTC(),
		Devices: []wire.DeviceResult{{Device: "edge-1", OK: true, Documents: 2},
			{Device: "edge-2", Phase: "connect\x1b[2J", Kind: "unreachable", Error: "no route to host",
				Access: &wire.Access{Hops: make([]wire.Hop, 1000)}}}}
	for _, h := range []wire.Header{sent, lost} {
		m.Documents = append(m.Documents, wire.ManifestEntry{ID: h.ID, Device: h.Device, Item: h.Item,
			Status: wire.EntryStored, SHA256: wire.Digest(body), Size: int64(len(body))})
	}
	for _, item := range []string{"show-version", "show-system-uptime"} {
		m.Documents = append(m.Documents, wire.ManifestEntry{Device: "edge-2", Item: item, Status: wire.EntryFailed, Reason: "unreachable\x1b[2J"})
	}
	t.Run("wrong signature", func(t *testing.T) {
		h := b.manifest(m, c.enrol(t, beta).key)
		if r := b.receipt(h.ID); r.Status != wire.Rejected || r.Code != ingest.CodeSignature {
			t.Errorf("%+v", r)
		}
	})
	t.Run("unsigned", func(t *testing.T) {
		h := b.manifest(m, nil)
		if r := b.receipt(h.ID); r.Status != wire.Rejected || r.Code != ingest.CodeSignature {
			t.Errorf("%+v", r)
		}
	})
	t.Run("of another run", func(t *testing.T) {
		other := m
		other.Run = wire.NewID()
		plain, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		h := wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: alpha, Boot: b.boot, Run: run}
		b.send(h, plain, wire.Packing{Key: b.key})
		if r := b.receipt(h.ID); r.Status != wire.Rejected || r.Code != ingest.CodeHeader {
			t.Errorf("%+v", r)
		}
	})
	b.manifest(m, b.key)
	var n wire.Need
	b.verify(wire.KindNeed, b.next(wire.KindNeed), &n)
	if n.Run != run || !slices.Equal(n.IDs, []string{lost.ID}) {
		t.Fatalf("need %+v", n)
	}
	b.send(lost, body, wire.Packing{})
	h := b.manifest(m, b.key) // without waiting: the document may still be in the batch
	if r := b.receipt(h.ID); r.Status != wire.Complete {
		t.Errorf("%+v", r)
	}
	got, err := c.store.Run(t.Context(), run)
	if err != nil || got.State != edp.RunComplete || got.Failed != 2 || len(got.Left) != 1 || got.Left[0].Reason != "unreachable [2J" {
		t.Errorf("run %+v, %v", got, err)
	}
	rows, err := c.store.Devices(t.Context(), alpha)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Device.ID == "edge-2" && (r.State != edp.DeviceFailed || !strings.Contains(r.Error, "no route") ||
			r.Phase != "connect [2J" || r.Access == nil || len(r.Access.Hops) > 32) {
			t.Errorf("device %+v", r)
		}
	}
}

// A store that fails answers as retryable, and the collector has its documents
// stored when it sends them again.
func TestStoreFailureIsRetryable(t *testing.T) {
	dir := t.TempDir()
	c, b, run := ready(t, setup{dir: dir})
	h := b.fact(run, "edge-1", "show-version")
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.send(h, reply("edge-1"), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Rejected || r.Code != ingest.CodeStore || !r.Retryable {
		t.Errorf("%+v", r)
	}
	c.stop()
	b.cloud = startCloud(t, setup{dir: dir})
	b.connect()
	b.hello()
	b.send(h, reply("edge-1"), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Stored {
		t.Errorf("%+v", r)
	}
}

// FuzzReceive gives the hub any message on any topic of a collector.
func FuzzReceive(f *testing.F) {
	c := startCloud(f, setup{})
	b := c.enrol(f, alpha)
	b.connect()
	b.hello()
	for _, k := range []string{"hello", "state", "fact", "run", "job", "health", "event", "bye", "welcome"} {
		f.Add(k, []byte(`{"v":1,"collector":"collector-alpha","boot":"`+b.boot+`"}`))
	}
	run := wire.NewID()
	f.Add("fact", split(f, b.fact(run, "edge-1", "show-version"), reply("x"), wire.Packing{})[0])
	m, err := json.Marshal(wire.Manifest{V: 1, Collector: alpha, Boot: b.boot, Run: run})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("run", split(f, wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: alpha, Boot: b.boot, Run: run}, m, wire.Packing{Key: b.key})[0])
	hello, err := wire.Sign(wire.KindHello, b.newHello(), b.key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("hello", hello)
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		c.hub.receive("lwc/v1/"+alpha+"/up/"+kind, payload)
		c.hub.receive("lwc/v1/collector-gamma/up/"+kind, payload)
		for len(b.down) > 0 {
			<-b.down
		}
	})
}
