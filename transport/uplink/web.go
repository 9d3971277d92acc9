package uplink

import "crypto/tls"

// Web tells how the cloud's web server is reached beside the session: its address,
// https://host[:port], and the configuration of TLS for a connection to a host. That
// believes the cloud's authorities alone, and shows the certificate that is the newest
// when it is called.
func (u *Uplink) Web() (base string, conf func(host string) *tls.Config) {
	id := u.identity()
	return id.URL, func(host string) *tls.Config {
		id := u.identity()
		return id.tlsConfig(host)
	}
}
