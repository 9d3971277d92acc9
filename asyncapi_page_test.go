package lwc_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

type (
	item  = yaml.MapItem
	block = yaml.MapSlice
)

func ref(path string) block { return block{{Key: "$ref", Value: path}} }

// asyncAPI is the whole document.
func asyncAPI(t *testing.T, w *wireSource) block {
	t.Helper()
	schemas := map[string]block{}
	w.schemas(schemas, "Envelope")
	w.schemas(schemas, "Header")
	var channels, operations, messages block
	for _, m := range asyncMessages() {
		if m.of != "" {
			w.schemas(schemas, m.of)
		}
		id := m.direction + strings.ToUpper(m.kind[:1]) + m.kind[1:]
		channels = append(channels, item{Key: id, Value: channel(m)})
		operations = append(operations, item{Key: m.name, Value: operation(m, id)})
		messages = append(messages, item{Key: m.name, Value: m.message()})
	}
	var ordered block
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		ordered = append(ordered, item{Key: name, Value: schemas[name]})
	}
	return block{
		{Key: "asyncapi", Value: "3.0.0"},
		{Key: "info", Value: block{{Key: "title", Value: "lwc collector"}, {Key: "version", Value: "1"},
			{Key: "description", Value: "What a collector sends and receives. docs/protocol.md is the whole contract: enrolment, frames, signatures, delivery. " +
				"Unknown fields are ignored by both ends. The topic prefix lwc/v1 is that of the bootstrap answer, and may be another."}}},
		{Key: "defaultContentType", Value: "application/json"},
		{Key: "servers", Value: servers()},
		{Key: "channels", Value: channels},
		{Key: "operations", Value: operations},
		{Key: "components", Value: block{
			{Key: "messages", Value: messages},
			{Key: "schemas", Value: ordered},
			{Key: "parameters", Value: block{{Key: "collector", Value: block{
				{Key: "description", Value: "The collector's id, ^[a-z0-9][a-z0-9-]{7,62}$; also its MQTT client id and the common name of its certificate"}}}}},
			{Key: "securitySchemes", Value: block{{Key: "certificate", Value: block{
				{Key: "type", Value: "X509"}, {Key: "description", Value: "The collector's certificate, of the cloud's authority, by mutual TLS 1.3"}}}}},
			{Key: "operationBindings", Value: block{{Key: "delivery", Value: block{{Key: "mqtt", Value: block{
				{Key: "qos", Value: 1}, {Key: "retain", Value: false}, {Key: "bindingVersion", Value: "0.2.0"}}}}}}},
		}},
	}
}

func servers() block {
	one := func(host, protocol, path, text string) block {
		s := block{{Key: "host", Value: host}, {Key: "protocol", Value: protocol}, {Key: "protocolVersion", Value: "3.1.1"}}
		if path != "" {
			s = append(s, item{Key: "pathname", Value: path})
		}
		return append(s, item{Key: "description", Value: text},
			item{Key: "security", Value: []block{ref("#/components/securitySchemes/certificate")}},
			item{Key: "bindings", Value: block{{Key: "mqtt", Value: block{{Key: "clientId", Value: "the collector's id"}, {Key: "cleanSession", Value: true},
				{Key: "keepAlive", Value: 20}, {Key: "bindingVersion", Value: "0.2.0"},
				{Key: "lastWill", Value: block{{Key: "topic", Value: "lwc/v1/{collector}/up/bye"}, {Key: "qos", Value: 1}, {Key: "retain", Value: false}}}}}}})
	}
	return block{
		{Key: "first", Value: one("cloud.example:443", "secure-mqtt", "", "MQTT over TLS with the application protocol (ALPN) mqtt")},
		{Key: "second", Value: one("cloud.example:8883", "secure-mqtt", "", "MQTT over TLS on a port of its own")},
		{Key: "third", Value: one("cloud.example:443", "wss", "/mqtt", "MQTT over WebSocket, subprotocol mqtt")},
	}
}

func channel(m asyncMessage) block {
	return block{
		{Key: "address", Value: "lwc/v1/{collector}/" + m.direction + "/" + m.kind},
		{Key: "parameters", Value: block{{Key: "collector", Value: ref("#/components/parameters/collector")}}},
		{Key: "messages", Value: block{{Key: m.name, Value: ref("#/components/messages/" + m.name)}}},
	}
}

func operation(m asyncMessage, id string) block {
	action := "send"
	if m.direction == "down" {
		action = "receive"
	}
	return block{
		{Key: "action", Value: action},
		{Key: "summary", Value: m.summary},
		{Key: "channel", Value: ref("#/channels/" + id)},
		{Key: "messages", Value: []block{ref("#/channels/" + id + "/messages/" + m.name)}},
		{Key: "bindings", Value: ref("#/components/operationBindings/delivery")},
	}
}

// message says how the payload is made, and with x-lwc-content of what.
func (m asyncMessage) message() block {
	out := block{{Key: "name", Value: m.name}, {Key: "title", Value: m.summary}, {Key: "x-lwc-form", Value: m.form}}
	if m.of != "" {
		out = append(out, item{Key: "x-lwc-content", Value: "#/components/schemas/" + m.of})
	}
	switch m.form {
	case formSigned:
		return append(out, item{Key: "payload", Value: block{{Key: "allOf", Value: []block{ref("#/components/schemas/Envelope"),
			{{Key: "properties", Value: block{{Key: "payloadType", Value: block{{Key: "const", Value: "application/vnd.lwc." + m.kind + ".v1+json"}}}}}}}}}})
	case formFrames:
		return append(out, item{Key: "contentType", Value: "application/vnd.lwc.frame"}, item{Key: "headers", Value: ref("#/components/schemas/Header")},
			item{Key: "payload", Value: block{{Key: "type", Value: "string"}, {Key: "format", Value: "binary"},
				{Key: "description", Value: `"LWF1", the length of the header as a big-endian u32, the header as JSON, the body`}}})
	}
	return append(out, item{Key: "payload", Value: ref("#/components/schemas/" + m.of)})
}
