package collector

import "lwc/junos"

// adviceOf says for an operator what a reply without data means.
func adviceOf(res junos.Result) string {
	text := "The device answered with " + string(res.Outcome)
	if len(res.Errors) > 0 {
		text += ": " + res.Errors[0].Message
	}
	return text + "."
}
