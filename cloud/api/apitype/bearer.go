package apitype

import (
	"encoding/base64"

	"lwc/transport/wire"
)

// Bearer returns the value of the Authorization header for an API token.
func Bearer(t wire.Token) string {
	return "Bearer " + t.ID + "." + base64.RawURLEncoding.EncodeToString(t.Secret.Reveal())
}
