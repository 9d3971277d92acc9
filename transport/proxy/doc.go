// Package proxy dials through an HTTP proxy by the method CONNECT (RFC 9110
// section 9.3.6), so that a site that lets nothing else out can reach its cloud.
//
// Start with [ParseURL] and a [Dialer], whose DialContext is used like that of a
// net.Dialer. The proxy resolves the name that is dialled, and sees it; what
// goes through the tunnel it does not see, because the caller makes TLS in it.
//
// It guarantees that no answer of a proxy takes more than 16 KiB or longer than
// [Dialer.Timeout], that bytes which come with the answer are the first of the
// connection, and that what fails at the proxy is an [*Error] which says what to do.
package proxy
