// Package enrol lets collectors in: enrolment over secure transport (EST, RFC
// 7030) and the bootstrap answer of docs/protocol.md.
//
// New returns an http.Handler for /.well-known/est/ and /collector/v1/. It runs
// behind a TLS listener that asks for, and verifies against the authority of
// pki, a client certificate if there is one. simpleenroll takes an enrolment
// token by HTTP Basic authentication; simplereenroll and bootstrap take the
// certificate of an active collector.
//
// Errors are sent as one line of plain text that says what is wrong and what to
// do: the daemon at the other end shows it to its operator.
package enrol
