package junostest

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// answer makes the reply to an rpc. item is the catalogue item that was asked
// for, where it is one.
func (d *Device) answer(req request) (doc []byte, item string, err error) {
	c, everywhere, e := d.resolve(req.op)
	if e != nil {
		return d.errorReply(req.attrs, e), c.logged(), nil
	}
	if req.op.name == "close-session" {
		return d.reply(req.attrs, func(w *writer) { w.empty(d.nc() + "ok") }), "", nil
	}
	if write := d.private(req.op); write != nil {
		return d.reply(req.attrs, write), "", nil
	}
	if doc, err = d.fleet.replacement(d, c.logged(), req.attrs); doc != nil || err != nil {
		return doc, c.item, err
	}
	switch d.lacking(c) {
	case notValid:
		return d.errorReply(req.attrs, notValidOn(d.Product, req.op.name)), c.logged(), nil
	case syntax:
		return d.errorReply(req.attrs, syntaxError(req.op.name)), c.logged(), nil
	}
	return d.reply(req.attrs, func(w *writer) {
		d.body(w, c, everywhere)
		if d.lacking(c) != saysNone && d.banner() != "" {
			d.bannerElement(w)
		}
	}), c.logged(), nil
}

// resolve finds what an operation asks for, or the error that it earns.
func (d *Device) resolve(op operation) (c command, everywhere bool, e *rpcError) {
	switch {
	case op.name == "close-session" || d.private(op) != nil:
		return command{}, false, nil
	case op.name == "command":
		return d.resolveCLI(op)
	case changes(op.name):
		return command{}, false, permissionDenied(op.name)
	}
	c, bad := byRPC(op)
	if bad != "" {
		return command{}, false, syntaxError(bad)
	}
	return c, false, textOnly(op)
}

func (d *Device) resolveCLI(op operation) (command, bool, *rpcError) {
	line, _ := splitPipes(op.text)
	word, _, _ := strings.Cut(line, " ")
	if word != "show" {
		return command{}, false, permissionDenied(word)
	}
	if strings.HasPrefix(line, "show configuration") {
		return command{}, false, permissionDenied("configuration")
	}
	c, everywhere, ok := d.byCLI(line)
	if !ok {
		return command{}, false, &rpcError{"protocol", "operation-failed", "syntax error, expecting <command>", line}
	}
	return c, everywhere, textOnly(op)
}

// textOnly refuses formats other than XML, which the model has no words for.
func textOnly(op operation) *rpcError {
	if op.format == "" || op.format == "xml" {
		return nil
	}
	return &rpcError{"application", "operation-not-supported", fmt.Sprintf("output format %.20s is not available", op.format), op.name}
}

// changes tells operations that view permission does not cover: those of the
// configuration, and every verb that is not get.
func changes(name string) bool {
	if name == "get-configuration" || name == "get-config" || name == "get" {
		return true
	}
	if strings.HasPrefix(name, "get-") {
		return false
	}
	verb, _, _ := strings.Cut(name, "-")
	return slices.Contains([]string{"edit", "copy", "delete", "lock", "unlock", "kill", "commit", "validate", "discard", "load", "open", "close",
		"request", "clear", "file", "restart", "reboot", "halt", "power", "set", "start", "stop", "op", "ping", "traceroute", "create"}, verb)
}

// private answers the two questions by which PyEZ finds out which of several
// engines it is on: the names and the addresses of the internal network.
func (d *Device) private(op operation) func(*writer) {
	switch {
	case op.name == "file-show" && op.option("filename") == "/etc/hosts.junos":
		return func(w *writer) { w.block("file-content", d.hosts(), "junos:style", "normal") }
	case op.name == "get-interface-information" && op.option("routing-instance") == "__juniper_private1__":
		return d.privateTerse
	}
	return nil
}

// privateAddress of a node on the internal network.
func (d *Device) privateAddress(node int) string {
	if d.Model == SRXCluster {
		return fmt.Sprintf("%d.%d.0.1", 129+node, d.clusterID()<<4)
	}
	return fmt.Sprintf("128.0.0.%d", 4+node)
}

func (d *Device) hosts() string {
	names, _ := d.nodes()
	lines := []string{"127.0.0.1 localhost", "128.0.0.1 master"}
	for i, n := range names {
		lines = append(lines, d.privateAddress(i)+" "+n)
	}
	return strings.Join(lines, "\n")
}

func (d *Device) privateTerse(w *writer) {
	_, master := d.nodes()
	em := port{name: "em1", up: true, enabled: true, units: []unit{{name: "em1.0", up: true, families: []string{"inet"},
		addresses: []string{d.privateAddress(master) + "/2"}}}}
	if d.Model != SRXCluster {
		em.units[0].addresses = append(em.units[0].addresses, "128.0.0.1/2")
	}
	w.in("interface-information", func() {
		w.in("physical-interface", func() { em.terse(w) })
	}, "xmlns", d.junosNS("junos-interface"), "junos:style", "terse")
}

// reply is an rpc-reply as it is sent over NETCONF.
func (d *Device) reply(attrs []xml.Attr, body func(*writer)) []byte {
	w := &writer{}
	return w.written(func() { d.envelope(w, attrs, func() { body(w) }) })
}

func (d *Device) errorReply(attrs []xml.Attr, e *rpcError) []byte {
	return d.reply(attrs, func(w *writer) { d.errorElement(w, e) })
}
