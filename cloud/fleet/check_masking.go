package fleet

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos"
	"lwc/transport/wire"
)

// Bounds of masking. Each pattern is tried on every text of a reply.
const (
	maxRules   = 100
	maxPattern = 1000
)

var (
	maskClassForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	maskPathForm  = regexp.MustCompile(`^[^\s/<>]+(/[^\s/<>]+)*$`)
)

// MaskClasses lists the classes that can be switched, those that are on by
// themselves first.
func MaskClasses() []string {
	return []string{string(junos.MaskUserNames), string(junos.MaskCommunities), string(junos.MaskSecrets),
		string(junos.MaskMACs), string(junos.MaskIPs), string(junos.MaskDescriptions)}
}

// MaskedByDefault tells whether a class is on unless it is switched off.
func MaskedByDefault(class string) bool {
	return slices.Contains(junos.DefaultMaskClasses(), junos.MaskClass(class))
}

func (c *checker) masking(m Masking) {
	for _, name := range slices.Sorted(maps.Keys(m.Classes)) {
		if !slices.Contains(MaskClasses(), name) {
			c.add("masking.classes."+name, "no class %.60q is known%s (known: %s; for more, write a rule)",
				name, Suggest(name, MaskClasses()), strings.Join(MaskClasses(), ", "))
		}
	}
	c.count("masking.rules", len(m.Rules), maxRules)
	for i, r := range m.Rules {
		c.maskRule(fmt.Sprintf("masking.rules[%d]", i), r)
	}
}

func (c *checker) maskRule(path string, r wire.MaskRule) {
	before := len(c.problems)
	if !maskClassForm.MatchString(r.Class) {
		c.add(path+".class", "%.60q is not a word that a pseudonym can begin with: use lower case letters, digits and '-', as in site-code", r.Class)
	}
	if r.Item != "" {
		if _, ok := junos.Lookup(r.Item); !ok {
			c.add(path+".item", "%.80q is not an item of the catalogue%s", r.Item, Suggest(r.Item, itemNames()))
		}
	}
	if r.Path == "" && r.Pattern == "" {
		c.add(path, "it would mask every text of every reply: say which with path, pattern or both")
	}
	if r.Path != "" && !maskPathForm.MatchString(r.Path) {
		c.add(path+".path", "%.80q is not a path of element names: write it as user-entry/user, without namespaces and without a / before or after it", r.Path)
	}
	c.maskPattern(path+".pattern", r.Pattern)
	if len(c.problems) > before {
		return
	}
	rule := junos.MaskRule{Class: r.Class, Item: r.Item, Path: r.Path, Pattern: r.Pattern} // as the collector will judge it
	if _, err := junos.NewMask(junos.MaskConfig{Key: make([]byte, 32), Rules: []junos.MaskRule{rule}}); err != nil {
		c.add(path, "%v", err)
	}
}

func (c *checker) maskPattern(path, pattern string) {
	if len(pattern) > maxPattern {
		c.add(path, "the pattern has %d bytes, more than %d", len(pattern), maxPattern)
		return
	}
	expr, err := regexp.Compile(pattern)
	switch {
	case err != nil:
		c.add(path, "not a regular expression of RE2: %v", err)
	case pattern != "" && expr.MatchString(""):
		c.add(path, "the pattern matches nothing at all as well: write it so that it matches at least one character")
	}
}

// certificate makes sure that a certificate is one for users, of this key, and
// of use. It never repeats the parser's words.
func (c *checker) certificate(path string, cred Credential, key ssh.Signer) {
	if cred.Certificate.Empty() {
		return
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(cred.Certificate.Reveal())
	cert, ok := pub.(*ssh.Certificate)
	switch {
	case err != nil || !ok:
		c.add(path, "not an SSH certificate: give the line of the file that ends with -cert.pub, as ssh-keygen -s writes it")
	case cert.CertType != ssh.UserCert:
		c.add(path, "this is a certificate for a host: sign the key for a user (ssh-keygen -s CA -I ID -n NAME, without -h)")
	case !bytes.Equal(cert.Key.Marshal(), key.PublicKey().Marshal()):
		c.add(path, "it is the certificate of another key than private_key")
	case cert.ValidBefore != ssh.CertTimeInfinity && int64(cert.ValidBefore) <= time.Now().Unix():
		c.add(path, "it expired on %s: have the key signed again", time.Unix(int64(cert.ValidBefore), 0).UTC().Format(time.DateOnly))
	case len(cert.ValidPrincipals) > 0 && !slices.Contains(cert.ValidPrincipals, cred.Username):
		c.add(path, "it is for %.100s and not for the user name %.60q", strings.Join(cert.ValidPrincipals, ", "), cred.Username)
	}
}
