package device

import (
	"errors"
	"fmt"
	"syscall"
)

// Diagnosis says for an operator in which phase it happened, of which kind it
// is, and what to do. The kind of what is wrong with a bastion itself begins
// with "bastion-", but for two: "forward-refused" is of bastions alone, and
// "cancelled" is nobody's fault.
func (e *Error) Diagnosis() (phase, kind, advice string) {
	kind = string(e.Kind)
	if e.Bastion && e.Kind != KindForwardRefused && e.Kind != KindCancelled {
		kind = "bastion-" + kind
	}
	return string(e.Phase), kind, e.advice()
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
		return e.throttledAdvice(who)
	case KindTimeout:
		return e.timeoutAdvice(who)
	case KindClosed:
		return e.closedAdvice(who)
	case KindCancelled:
		return "The collection was stopped before the log-in was done. Nothing is wrong with the device."
	case KindForwardRefused:
		return fmt.Sprintf("%s does not forward connections to the device. Allow TCP forwarding to the devices behind it (OpenSSH: AllowTcpForwarding, PermitOpen; Junos: \"set system services ssh tcp-forwarding\").", who)
	}
	return ""
}

func (e *Error) throttledAdvice(who string) string {
	switch {
	case e.Phase == PhaseForward:
		return fmt.Sprintf("%s has no room for another forwarded connection. Lower the sessions that the collector leads through it, or raise its limit.", who)
	case e.Phase == PhaseSubsystem:
		return fmt.Sprintf("%s lets no further session in: it is at its limit. Wait a minute or more, and see who holds the sessions (\"show system users\"); limits are set under \"system services\".", who)
	}
	return fmt.Sprintf("%s cut the connection before the log-in: it is at its limit of connections or attempts per minute. Wait a minute or more; if it stays, raise connection-limit and rate-limit or lower the concurrency. If it never worked, check that the port is that of SSH.", who)
}

func (e *Error) timeoutAdvice(who string) string {
	if e.Phase == PhaseConnect || e.Phase == PhaseForward {
		return fmt.Sprintf("%s was not ready in the time that the log-in was given. Check its load and the path to it; if it stays, see why log-ins there take so long.", who)
	}
	return fmt.Sprintf("%s accepted the connection and then went silent (%s). Check its load and the path to it: MTU, packet loss, firewalls that inspect SSH.", who, e.Phase)
}

func (e *Error) closedAdvice(who string) string {
	if e.Bastion {
		return fmt.Sprintf("%s cut its connection (%s), and with it those to the devices behind it. It may have restarted; the next collection dials it anew. If it stays, see the log of its SSH server.", who, e.Phase)
	}
	return fmt.Sprintf("%s cut the connection (%s). It may have restarted or reached a limit; try again later.", who, e.Phase)
}

func (e *Error) sessionAdvice(who string) string {
	switch e.Kind {
	case KindProtocol:
		return e.protocolAdvice(who)
	case KindHostKeyUnknown:
		return e.unknownKeyAdvice(who)
	case KindHostKeyChanged:
		return fmt.Sprintf("%s shows another host key than the pinned one: %s. It was replaced or reinstalled, or someone is in between. No password was sent. Find out which, then pin the new key.", who, e.shownKey())
	case KindAlgorithms:
		return e.algorithmAdvice(who)
	case KindAuth:
		return e.authAdvice(who)
	case KindLockedOut:
		return fmt.Sprintf("%s says that the account is locked, or that too many log-ins failed. Unlock it there (Junos: \"clear system login lockout user\"), see that user and password or key are right, and change the credential here. It is not tried again until then.", who)
	case KindSubsystem:
		return fmt.Sprintf("%s refused the netconf subsystem twice, and what could stand in for it. Enable NETCONF with \"set system services netconf ssh\", and check that the account's class may use it.", who)
	}
	return fmt.Sprintf("%s could not be dialled: %v.", who, e.Err)
}

func (e *Error) protocolAdvice(who string) string {
	switch {
	case errors.Is(e.Err, errFlood):
		return fmt.Sprintf("%s sends log-in banners without end, so the log-in was given up. See its log-in message and what answers at its address.", who)
	case errors.Is(e.Err, errWordless):
		return fmt.Sprintf("What answers at the address of %s has closed every connection without a word for some minutes, as no SSH server does that is only busy. Check address and port, and that the collector's address is allowed to log in there; then, that not all its connections are taken.", lower(who))
	}
	return fmt.Sprintf("What answers at the address of %s does not speak SSH as it should. Check address and port.", lower(who))
}

func (e *Error) shownKey() string {
	if k, ok := errors.AsType[*keyError](e.Err); ok {
		return k.shown
	}
	return "a key of its own"
}

func (e *Error) unknownKeyAdvice(who string) string {
	k, _ := errors.AsType[*keyError](e.Err)
	switch {
	case errors.Is(e.Err, errBadCert):
		return fmt.Sprintf("The certificate of the host key of %s was not accepted: %v. It shows %s. Have its authority sign it anew for the name or address it is dialled by, or pin its key.", lower(who), k.more, k.shown)
	case errors.Is(e.Err, errNoCert):
		return fmt.Sprintf("%s has no host certificate, and only an authority is pinned for it. It shows %s: have it certified, or compare that key with the one on its console and pin it.", who, k.shown)
	}
	return fmt.Sprintf("No host key is pinned for %s, so it was not trusted. It shows %s: compare that with the one on its console, then pin it or allow trust on first use.", lower(who), e.shownKey())
}

func (e *Error) algorithmAdvice(who string) string {
	a, ok := errors.AsType[*algorithmError](e.Err)
	switch {
	case !ok:
		return fmt.Sprintf("%s and the collector have no SSH algorithm in common. Upgrade it, or allow newer algorithms there.", who)
	case a.legacy:
		return fmt.Sprintf("%s knows only old algorithms for the %s: %s. Upgrade it, or allow newer ones there (\"set system services ssh\" with key-exchange, ciphers, macs, hostkey-algorithm). Where neither can be, allow its old algorithms for this hop alone (legacy).", who, a.what, a.offered)
	}
	return fmt.Sprintf("%s and the collector have nothing in common for the %s: it offers %s, which the collector does not have, not even as a legacy algorithm. Allow newer ones there (\"set system services ssh\" with key-exchange, ciphers, macs, hostkey-algorithm).", who, a.what, a.offered)
}

func (e *Error) authAdvice(who string) string {
	m, byMethod := errors.AsType[*methodError](e.Err)
	switch {
	case byMethod:
		return fmt.Sprintf("%s does not let this sort of credential log in, only %s. Allow it there, or use a credential of that sort.", who, m.offered)
	case errors.Is(e.Err, errPrompt):
		return fmt.Sprintf("%s asks for something else than the password: a new one because it has expired, or a second factor. Log in by hand to see, and use an account that logs in with its password or key alone.", who)
	}
	return fmt.Sprintf("%s refused the log-in. Check user, password or key, and that the account is not locked. The schedule does not try it again until the credential changes.", who)
}

// lower puts the words for a hop into the middle of a sentence.
func lower(who string) string { return "t" + who[1:] }
