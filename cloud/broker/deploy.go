package broker

import (
	"embed"
	"io/fs"
)

//go:embed deploy
var deploy embed.FS

// Deploy returns the configuration files for external brokers: mosquitto.conf,
// mosquitto.acl and emqx-acl.conf, for the default topic prefix.
func Deploy() fs.FS {
	sub, err := fs.Sub(deploy, "deploy")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}
