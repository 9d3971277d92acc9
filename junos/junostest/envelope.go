package junostest

import (
	"encoding/xml"
)

const (
	netconfNS = "urn:ietf:params:xml:ns:netconf:base:1.0"
	xnmNS     = "http://xml.juniper.net/xnm/1.1/xnm"
)

// rpcError is an error as the management daemon of a device reports it.
type rpcError struct {
	kind    string // error-type: protocol or application
	tag     string
	message string
	bad     string // bad-element
}

func syntaxError(bad string) *rpcError {
	return &rpcError{"protocol", "operation-failed", "syntax error", bad}
}

func permissionDenied(bad string) *rpcError {
	return &rpcError{"protocol", "operation-failed", "permission denied", bad}
}

func notValidOn(product, bad string) *rpcError {
	return &rpcError{"application", "operation-failed", "command is not valid on the " + product, bad}
}

// nc is the prefix of the envelope: with rfc-compliant set, Junos binds the
// NETCONF namespace to nc, without it makes it the default.
func (d *Device) nc() string {
	if d.plat.rfc {
		return "nc:"
	}
	return ""
}

// envelope writes an rpc-reply around body. The attributes of the rpc come
// back on it (RFC 6241 section 4.1), those aside that it has itself.
func (d *Device) envelope(w *writer, attrs []xml.Attr, body func()) {
	own := []string{"xmlns", netconfNS, "xmlns:junos", d.envelopeNS()}
	if d.plat.rfc {
		own[0] = "xmlns:nc"
	}
	seen := map[string]bool{"xmlns": true, own[0]: true, own[2]: true}
	for _, a := range attrs {
		if name := qualified(a.Name); !seen[name] {
			seen[name] = true
			own = append(own, name, a.Value)
		}
	}
	w.in(d.nc()+"rpc-reply", body, own...)
}

// banner ends a reply where the session is on one of several engines.
func (d *Device) bannerElement(w *writer) {
	w.in("cli", func() { w.leaf("banner", d.banner()) })
}

func (d *Device) errorElement(w *writer, e *rpcError) {
	nc := d.nc()
	w.in(nc+"rpc-error", func() {
		w.leaf(nc+"error-type", e.kind)
		w.leaf(nc+"error-tag", e.tag)
		w.leaf(nc+"error-severity", "error")
		w.leaf(nc+"error-message", e.message)
		if e.bad != "" {
			w.in(nc+"error-info", func() { w.leaf(nc+"bad-element", e.bad) })
		}
	})
}

// notEnabledElement is how the cluster daemon of a switch says that there is no cluster.
func notEnabledElement(w *writer) {
	w.in("xnm:error", func() {
		w.empty("parse")
		w.leaf("source-daemon", "jsrpd")
		w.leaf("message", "error: Chassis cluster is not enabled")
	}, "xmlns", xnmNS, "xmlns:xnm", xnmNS)
}

// notRunningElement is how mgd says that the daemon that would answer is not
// started, as nothing in the configuration needs it.
func notRunningElement(w *writer, daemon string) {
	w.in("xnm:warning", func() {
		w.block("message", daemon+" subsystem not running - not needed by configuration.")
		w.in("reason", func() {
			w.leaf("daemon", daemon)
			w.empty("process-not-configured")
		})
	}, "xmlns", xnmNS, "xmlns:xnm", xnmNS)
}
