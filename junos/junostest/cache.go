package junostest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// replyCache keeps replies, so that a load test measures its client and not how
// fast replies are made. The same question has the same answer while clocks
// stand still, but for the message-id, which is cut out.
type replyCache struct {
	room atomic.Int64 // bytes that it may still take; once full it stays as it is
	all  sync.Map     // of cacheKey to cachedReply
}

// cacheKey is a question to a device.
type cacheKey struct {
	device   int
	question string
}

// cachedReply is a reply cut where the message-id was.
type cachedReply struct {
	head, tail []byte
	item       string
}

// answered is answer with the cache before it.
func (d *Device) answered(req request) (text []byte, item string, err error) {
	id := attr(req.attrs, "message-id")
	if d.fleet.cfg.Cache <= 0 || id == "" {
		return d.answer(req)
	}
	key, cache := cacheKey{d.index, req.question()}, &d.fleet.cache
	if v, ok := cache.all.Load(key); ok {
		r := v.(cachedReply)
		return slices.Concat(r.head, []byte(escape(id, true)), r.tail), r.item, nil
	}
	text, item, err = d.answer(req)
	if err == nil {
		cache.keep(key, text, item, id)
	}
	return text, item, err
}

// keep takes a reply up if there is room for it.
func (c *replyCache) keep(key cacheKey, text []byte, item, id string) {
	mark := ` message-id="` + escape(id, true)
	at := bytes.Index(text, []byte(mark+`"`))
	if at < 0 || at > bytes.IndexByte(text, '>') || c.room.Add(-int64(len(text))) < 0 {
		return
	}
	end := at + len(mark)
	start := end - len(escape(id, true))
	c.all.Store(key, cachedReply{bytes.Clone(text[:start]), bytes.Clone(text[end:]), item})
}

// question is all of a request that its answer depends on, the message-id aside.
func (r request) question() string {
	var b strings.Builder
	part := func(words ...string) {
		for _, w := range words {
			b.WriteString(w)
			b.WriteByte(0)
		}
	}
	part(r.op.name, r.op.format, r.op.text)
	for _, o := range r.op.options {
		part(o.name, o.text)
	}
	for _, a := range r.attrs {
		if a.Name.Space == "" && a.Name.Local == "message-id" {
			part("message-id") // where it stands among the others matters
			continue
		}
		part(a.Name.Space, a.Name.Local, a.Value)
	}
	return b.String()
}
