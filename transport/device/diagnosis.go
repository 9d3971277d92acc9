package device

import (
	"errors"
	"fmt"
	"syscall"
)

// Diagnosis says for an operator in which phase it happened, of which kind it
// is, and what to do.
func (e *Error) Diagnosis() (phase, kind, advice string) {
	return string(e.Phase), string(e.Kind), e.advice()
}

func (e *Error) advice() string {
	who := "The device"
	if e.Bastion {
		who = fmt.Sprintf("The bastion %q", e.Hop)
	}
	if s := e.networkAdvice(who); s != "" {
		return s
	}
	return e.sessionAdvice(who)
}

func (e *Error) networkAdvice(who string) string {
	switch e.Kind {
	case KindConfig:
		return fmt.Sprintf("%s cannot be dialled as it is configured: %v. Correct its entry.", who, e.Err)
	case KindResolve:
		return fmt.Sprintf("The name of %s is not known to the name server asked. Correct the name, or give an IP address.", lower(who))
	case KindConnect:
		if errors.Is(e.Err, syscall.ENETUNREACH) {
			return fmt.Sprintf("The collector has no route to %s: its address is in no subnet or route of the Internal Port. Correct the address, or add a gateway or a route to the collector's configuration.", lower(who))
		}
		return fmt.Sprintf("%s does not answer. Check its address, that it is up, and that routes and firewalls let the collector reach its SSH port.", who)
	case KindRefused:
		return fmt.Sprintf("%s answers, but nothing listens on the SSH port. Check the port, and on a Junos device that \"set system services netconf ssh\" is configured.", who)
	case KindThrottled:
		return fmt.Sprintf("%s cut the connection before the log-in: it is at its limit of connections or attempts per minute. Wait a minute or more; if it stays, raise connection-limit and rate-limit or lower the concurrency. If it never worked, check that the port is that of SSH.", who)
	case KindTimeout:
		return fmt.Sprintf("%s accepted the connection and then went silent (%s). Check its load and the path to it: MTU, packet loss, firewalls that inspect SSH.", who, e.Phase)
	case KindClosed:
		return fmt.Sprintf("%s cut the connection (%s). It may have restarted or reached a limit; try again later.", who, e.Phase)
	case KindCancelled:
		return "The collection was stopped before the log-in was done. Nothing is wrong with the device."
	case KindForwardRefused:
		return fmt.Sprintf("%s does not forward connections. Allow TCP forwarding to the devices behind it (OpenSSH: AllowTcpForwarding, PermitOpen; Junos: \"set system services ssh tcp-forwarding\").", who)
	}
	return ""
}

func (e *Error) sessionAdvice(who string) string {
	switch e.Kind {
	case KindProtocol:
		return fmt.Sprintf("What answers at the address of %s does not speak SSH as it should. Check address and port.", lower(who))
	case KindHostKeyUnknown:
		return fmt.Sprintf("No host key is pinned for %s, so it was not trusted. It shows %s: compare that with the one on its console, then pin it or allow trust on first use.", lower(who), e.shownKey())
	case KindHostKeyChanged:
		return fmt.Sprintf("%s shows another host key than the pinned one: %s. It was replaced or reinstalled, or someone is in between. No password was sent. Find out which, then pin the new key.", who, e.shownKey())
	case KindAlgorithms:
		return fmt.Sprintf("%s and the collector have no SSH algorithm in common: its release or its configuration is old. Upgrade it, or allow newer algorithms there (\"set system services ssh\" with key-exchange, ciphers, macs, hostkey-algorithm).", who)
	case KindAuth:
		return e.authAdvice(who)
	case KindSubsystem:
		return fmt.Sprintf("%s refused the netconf subsystem. Enable NETCONF with \"set system services netconf ssh\", and check that the account's class may use it.", who)
	}
	return fmt.Sprintf("%s could not be dialled: %v.", who, e.Err)
}

func (e *Error) shownKey() string {
	var k *keyError
	if errors.As(e.Err, &k) {
		return k.shown
	}
	return "a key of its own"
}

func (e *Error) authAdvice(who string) string {
	var m *methodError
	switch {
	case errors.As(e.Err, &m):
		return fmt.Sprintf("%s does not let this sort of credential log in, only %s. Allow it there, or use a credential of that sort.", who, m.offered)
	case errors.Is(e.Err, errPrompt):
		return fmt.Sprintf("%s asks for something else than the password: a new one because it has expired, or a second factor. Log in by hand to see, and use an account that logs in with its password or key alone.", who)
	}
	return fmt.Sprintf("%s refused the log-in. Check user, password or key, and that the account is not locked. The schedule does not try it again until the credential changes.", who)
}

// lower puts the words for a hop into the middle of a sentence.
func lower(who string) string { return "t" + who[1:] }
