package junos

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// Privileges are the rights of the account that a session runs under, as the
// device reports them for show-cli-authorization.
type Privileges struct {
	User, Class   string
	Permissions   []string // flags of the login class, in the order of the reply
	AllowCommands string   // expression of commands allowed beyond the flags; empty: none
	DenyCommands  string   // expression of commands denied in spite of the flags; empty: none
}

// maxRights is well beyond the flags that Junos has, which are about fifty.
const maxRights = 256

var errNoRights = errors.New("the reply names no permissions")

// ParsePrivileges reads the reply to show-cli-authorization, in XML or as the
// text of the command line. Since it is to prove what an account cannot do, it
// fails closed: a document that is damaged, too large or of another form is an
// error, and what it does not know it keeps as a permission. Replies of several
// routing engines give the rights of all together.
func ParsePrivileges(doc []byte) (Privileges, error) {
	p, err := readPrivileges(doc)
	if err != nil {
		return Privileges{}, fmt.Errorf("reading the rights of the account: %w", err)
	}
	return p, nil
}

func readPrivileges(doc []byte) (Privileges, error) {
	if len(doc) > maxIdentity {
		return Privileges{}, fmt.Errorf("a reply of %d bytes", len(doc))
	}
	root, err := parseWhole(doc)
	if err != nil {
		return Privileges{}, err
	}
	var r rightsReader
	for _, e := range elements(root, "authorization-information") {
		r.element(e, aboutAccount)
	}
	if !r.found {
		for _, e := range elements(root, "output") {
			r.text(e.Text())
		}
	}
	switch {
	case !r.found, len(r.p.Permissions) == 0 && r.p.AllowCommands == "": // it was allowed to ask
		return Privileges{}, errNoRights
	case len(r.p.Permissions) > maxRights:
		return Privileges{}, fmt.Errorf("the reply names %d permissions", len(r.p.Permissions))
	case r.long:
		return Privileges{}, fmt.Errorf("an expression of more than %d bytes", maxExpression)
	}
	return r.p, nil
}

// parseWhole is parseSmall without its leniency: a document that ends early or
// whose elements do not match is an error.
func parseWhole(doc []byte) (*etree.Element, error) {
	d := etree.NewDocument()
	d.ReadSettings.ValidateInput = true
	if err := d.ReadFromBytes(bytes.TrimSpace(bytes.Map(printable, bytes.TrimPrefix(doc, []byte("\ufeff"))))); err != nil {
		return nil, fmt.Errorf("parsing XML: %w", err)
	}
	return &d.Element, nil
}

// rightsReader collects rights; found says that it came across the place where
// they stand, be it empty.
type rightsReader struct {
	p     Privileges
	found bool
	long  bool // an expression is longer than is kept
}

// topic is what an element is about. Releases name the elements differently, so
// words in the names count, and what is below one is about the same.
type topic int

const (
	aboutAccount topic = iota
	aboutPermissions
	aboutAllowed
	aboutDenied
	aboutConfiguration // commands of configuration mode
)

func (t topic) of(tag string) topic {
	switch {
	case t != aboutAccount:
		return t
	case strings.Contains(tag, "permission"):
		return aboutPermissions
	case strings.Contains(tag, "config"):
		return aboutConfiguration
	case strings.Contains(tag, "allow"):
		return aboutAllowed
	case strings.Contains(tag, "deny"):
		return aboutDenied
	}
	return aboutAccount
}

// element reads an element and what is in it.
func (r *rightsReader) element(e *etree.Element, above topic) {
	about, children := above.of(e.Tag), e.ChildElements()
	r.found = r.found || about == aboutPermissions
	if len(children) == 0 {
		r.leaf(e.Tag, strings.TrimSpace(e.Text()), about)
		return
	}
	if t := e.Text(); strings.Contains(t, permissionsHead) {
		r.text(t)
	}
	for _, c := range children {
		r.element(c, about)
	}
}

// maxExpression is the longest expression that is kept. A catalogue of fifty
// commands takes 2 KiB.
const maxExpression = 16 << 10

func (r *rightsReader) leaf(tag, text string, about topic) {
	has := func(word string) bool { return strings.Contains(tag, word) }
	switch {
	case strings.Contains(text, permissionsHead):
		r.text(text)
	case has("help") || has("description") || text == "":
	case about == aboutPermissions:
		r.permission(text)
	case about == aboutAllowed:
		r.expression(&r.p.AllowCommands, text)
	case about == aboutDenied:
		r.expression(&r.p.DenyCommands, text)
	case about == aboutConfiguration:
	case has("class"):
		r.p.Class = first(r.p.Class, clipText(text, maxFact))
	case has("user") || has("login"):
		r.p.User = first(r.p.User, clipText(text, maxFact))
	}
}

// permission takes "view" and "view -- Can view current values".
func (r *rightsReader) permission(text string) {
	flag, _, _ := strings.Cut(text, "--")
	if flag = clipText(flag, maxFact); flag != "" && len(r.p.Permissions) <= maxRights && !slices.Contains(r.p.Permissions, flag) {
		r.p.Permissions = append(r.p.Permissions, flag)
	}
}

// The text of the command line:
//
//	Current user: 'lab' login: 'lab' class 'super-user'
//	Permissions:
//	    admin       -- Can view user accounts
//	    admin-control-- Can modify user accounts
//	Individual command authorization:
//	    Allow regular expression: none
//	    Deny regular expression: none
const permissionsHead = "Permissions:"

var (
	currentUser  = regexp.MustCompile(`Current user: *'([^']*)'(?:.*class *'([^']*)')?`)
	commandsText = regexp.MustCompile(`^(Allow|Deny) (.*)regular expressions?: *(.*)$`)
)

func (r *rightsReader) text(t string) {
	inside := false
	for line := range strings.Lines(t) {
		line = strings.TrimSpace(line)
		user, commands := currentUser.FindStringSubmatch(line), commandsText.FindStringSubmatch(line)
		switch {
		case user != nil:
			r.p.User, r.p.Class = first(r.p.User, clipText(user[1], maxFact)), first(r.p.Class, clipText(user[2], maxFact))
		case line == permissionsHead:
			inside, r.found = true, true
		case commands != nil && strings.Contains(commands[2], "config"):
			inside = false
		case commands != nil && commands[1] == "Allow":
			r.expression(&r.p.AllowCommands, commands[3])
			inside = false
		case commands != nil:
			r.expression(&r.p.DenyCommands, commands[3])
			inside = false
		case strings.HasSuffix(line, ":"):
			inside = false
		case inside:
			r.permission(line)
		}
	}
}

// expression adds to those of the elements or engines before. Junos says none
// when there is none.
func (r *rightsReader) expression(all *string, text string) {
	text = strings.TrimSpace(text)
	switch {
	case text == "none" || text == "" || text == *all || r.long:
		return
	case *all != "":
		text = *all + "|" + text
	}
	if r.long = len(text) > maxExpression; !r.long {
		*all = text
	}
}
