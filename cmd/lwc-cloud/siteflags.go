package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"lwc/image/sitefile"
	"lwc/transport/secret"
)

// addSiteFlags adds --file, --from and a flag for each key of lwc.toml.
func addSiteFlags(fs *flag.FlagSet) *siteFlags {
	s := &siteFlags{
		file: fs.String("file", "", "make lwc.toml, this `FILE`, with the token in it"),
		from: fs.String("from", "", "take the settings of this lwc.toml, the `FILE` of a box that is replaced for example"),
	}
	s.port(fs, "internal", func(f *sitefile.File) *sitefile.Port { return &f.Internal.Port })
	s.port(fs, "external", func(f *sitefile.File) *sitefile.Port { return &f.External.Port })
	s.list(fs, "device-port", "a TCP `PORT` of devices, or a range; 22 and 830 where none is given", func(f *sitefile.File) *[]string { return &f.Internal.Ports })
	s.list(fs, "allow", "the only `HOST:PORT` that may be reached; from the token where none is given", func(f *sitefile.File) *[]string { return &f.External.Allow })
	s.list(fs, "ntp", "time `SERVER`", func(f *sitefile.File) *[]string { return &f.External.NTP })
	s.text(fs, "proxy", "`URL` of an HTTP proxy on the way to the cloud", func(f *sitefile.File) *string { return &f.External.Proxy })
	s.text(fs, "proxy-user", "`NAME` for the log-in there", func(f *sitefile.File) *string { return &f.External.ProxyUser })
	s.fromFile(fs, "proxy-password-file", "`FILE` with the password there", func(f *sitefile.File, text string) {
		f.External.ProxyPassword = secret.FromString(strings.TrimRight(text, "\r\n"))
	})
	s.fromFile(fs, "proxy-ca-file", "`FILE` with the certificates of the authority of an https proxy", func(f *sitefile.File, text string) { f.External.ProxyCA = text })
	s.yes(fs, "no-cloud-clock", "the cloud's time does not set the box's clock", func(f *sitefile.File) { f.External.NoCloudClock = true })
	return s
}

// port adds the flags that both ports have. An address, or DHCP, replaces how the
// file of --from has the port get its address, the gateway with it.
func (s *siteFlags) port(fs *flag.FlagSet, name string, of func(*sitefile.File) *sitefile.Port) {
	anew := func(f *sitefile.File) { of(f).Addresses, of(f).DHCP, of(f).Gateway = nil, false, "" }
	s.text(fs, name+"-mac", "hardware `ADDRESS` of the "+name+" socket", func(f *sitefile.File) *string { return &of(f).MAC })
	s.number(fs, name+"-vlan", "the port is this `VLAN` of the socket", func(f *sitefile.File) *int { return &of(f).VLAN })
	s.yes(fs, name+"-dhcp", "the network gives address, gateway and name servers", func(f *sitefile.File) { of(f).DHCP = true }, anew)
	s.list(fs, name+"-address", "`ADDRESS` with the length of its subnet, as 10.1.0.2/24", func(f *sitefile.File) *[]string { return &of(f).Addresses }, anew)
	s.text(fs, name+"-gateway", "`ADDRESS` of the default gateway", func(f *sitefile.File) *string { return &of(f).Gateway })
	s.list(fs, name+"-route", "`ROUTE` as \"10.0.0.0/8 via 10.1.0.1\"", func(f *sitefile.File) *[]string { return &of(f).Routes })
	s.list(fs, name+"-dns", "`ADDRESS` of a name server", func(f *sitefile.File) *[]string { return &of(f).DNS })
	s.number(fs, name+"-mtu", "`BYTES` of a packet", func(f *sitefile.File) *int { return &of(f).MTU })
}

// change is what a flag does to the file of --from; forget comes before all changes.
func (s *siteFlags) change(do func(*sitefile.File), forget ...func(*sitefile.File)) error {
	s.changes, s.forgets = append(s.changes, do), append(s.forgets, forget...)
	return nil
}

func (s *siteFlags) text(fs *flag.FlagSet, name, usage string, of func(*sitefile.File) *string) {
	fs.Func(name, usage, func(v string) error { return s.change(func(f *sitefile.File) { *of(f) = v }) })
}

func (s *siteFlags) yes(fs *flag.FlagSet, name, usage string, do func(*sitefile.File), forget ...func(*sitefile.File)) {
	fs.BoolFunc(name, usage, func(v string) error {
		if on, err := strconv.ParseBool(v); err != nil || !on {
			return fmt.Errorf("write --%s, without a value", name)
		}
		return s.change(do, forget...)
	})
}

func (s *siteFlags) number(fs *flag.FlagSet, name, usage string, of func(*sitefile.File) *int) {
	fs.Func(name, usage, func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n <= 0 { // 0 would be left out of the file
			return fmt.Errorf("%q is not a number from 1 on", v)
		}
		return s.change(func(f *sitefile.File) { *of(f) = n })
	})
}

// list adds a flag that may be repeated. Its values replace those of --from.
func (s *siteFlags) list(fs *flag.FlagSet, name, usage string, of func(*sitefile.File) *[]string, forget ...func(*sitefile.File)) {
	anew := append(forget, func(f *sitefile.File) { *of(f) = nil })
	fs.Func(name, usage+" (may be repeated)", func(v string) error {
		return s.change(func(f *sitefile.File) { *of(f) = append(*of(f), v) }, anew...)
	})
}

// fromFile adds a flag that names a file whose text is the value.
func (s *siteFlags) fromFile(fs *flag.FlagSet, name, usage string, set func(*sitefile.File, string)) {
	fs.Func(name, usage, func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return s.change(func(f *sitefile.File) { set(f, string(text)) })
	})
}
