package collector

import "lwc/junos"

// adviceOf says for an operator what a document without data means: what
// happened, why, and what to do.
func adviceOf(res junos.Result) string {
	said := ""
	if len(res.Errors) > 0 {
		said = " It said: " + clip(res.Errors[0].Message, 200) + "."
	}
	switch res.Outcome {
	case junos.Denied:
		return "The account may not ask this of the device." + said + " Give it the login class that is generated for the profile."
	case junos.RetryLater:
		return "A process of the device was not ready, twice in one session." + said + " It is asked again with the next run; if it stays so, look at that process on the device."
	case junos.DeviceError:
		return "The device answered with an error." + said + " Run the command by hand on the device, or leave it out of the profile."
	case junos.Malformed:
		return "What the device sent is no well-formed XML; it was kept as it came." + said + " If it is so each time, open a case with the Junos release and this document."
	}
	return ""
}
