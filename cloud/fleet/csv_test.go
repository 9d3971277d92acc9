package fleet

import (
	"slices"
	"strings"
	"testing"

	"lwc/transport/wire"
)

func csvFleet() Spec {
	b := wire.Bastion{Address: "b", Credential: "lab", TrustFirst: true}
	return Spec{
		Credentials: []Credential{{ID: "lab", Username: "u"}},
		Bastions:    []Bastion{{ID: "jump", Bastion: b}, {ID: "outer", Bastion: b}},
	}
}

func TestParseCSV(t *testing.T) {
	text := "\xef\xbb\xbfID,address,credential,bastions,trust_first,port,host_keys,groups\r\n" +
		"a,192.0.2.1,lab,outer|jump,yes,,,core|west\r\n" +
		"\"b\", b.example.net ,lab,,,2222,SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU,\r\n"
	ds, err := ParseCSV("d.csv", []byte(text), csvFleet())
	if err != nil {
		t.Fatal(err)
	}
	if len(ds) != 2 || !slices.Equal(ds[0].Bastions, []string{"outer", "jump"}) || !ds[0].TrustFirst || ds[0].Port != 0 {
		t.Errorf("first device: %+v", ds)
	}
	if !slices.Equal(ds[0].Groups, []string{"core", "west"}) || ds[1].Groups != nil {
		t.Errorf("groups: %+v", ds)
	}
	if ds[1].Address != "b.example.net" || ds[1].Port != 2222 || len(ds[1].HostKeys) != 1 {
		t.Errorf("second device: %+v", ds[1])
	}
	semicolons := strings.NewReplacer(",", ";").Replace("id,address,credential,trust_first\na,h,lab,1\n")
	if _, err := ParseCSV("d.csv", []byte(semicolons), csvFleet()); err != nil {
		t.Errorf("with semicolons: %v", err)
	}
}

func TestParseCSVErrors(t *testing.T) {
	const head = "id,address,credential,trust_first,port\n"
	for name, c := range map[string]struct{ csv, want string }{
		"empty":              {"", "d.csv:1:1: the file is empty"},
		"header only":        {head, "no device below the header"},
		"unknown column":     {"id,adress,credential\n", `column 2: "adress" is not known, did you mean "address"?`},
		"missing column":     {"id,address\n", `the column "credential" is missing`},
		"column twice":       {"id,id,address,credential\n", "stands twice"},
		"unknown credential": {head + "a,h,lap,1,\n", `d.csv:2:5: credential: no credential "lap" is defined, did you mean "lab"?`},
		"bad port":           {head + "a,h,lab,1,\nb,h,lab,1,99999\n", `d.csv:3:11: port: "99999" is not a port`},
		"bad truth":          {head + "a,h,lab,maybe,\n", "neither true nor false"},
		"duplicate":          {head + "a,h,lab,1,\na,i,lab,1,\n", `d.csv:3:1: id: the id "a" stands in line 2 already`},
		"no host key":        {head + "a,h,lab,,\n", "d.csv:2:1: no host key"},
		"no id":              {head + ",h,lab,1,\n", "the id is missing"},
		"too many fields":    {head + "a,h,lab,1,,x\n", "more fields than"},
		"too few fields":     {head + "a,h\n", "the credential is missing"},
		"quote":              {head + "a,\"h,lab,1,\n", "this is not CSV"},
		"not text":           {"\x00", "not a text file"},
	} {
		t.Run(name, func(t *testing.T) {
			ds, err := ParseCSV("d.csv", []byte(c.csv), csvFleet())
			if err == nil || !strings.Contains(err.Error(), c.want) || ds != nil {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func FuzzParseCSV(f *testing.F) {
	f.Add([]byte("id,address,credential,trust_first,port\na,h,lab,1,\n\"b\",h,lab,1,22\n"))
	f.Add([]byte("id;address;credential;host_keys;bastions;profile\na;h;lab;SHA256:x|y;jump;daily\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ds, err := ParseCSV("d.csv", b, csvFleet())
		if err != nil {
			return
		}
		s := csvFleet()
		s.Devices = ds
		if err := s.Check(); err != nil {
			t.Errorf("devices were accepted that break the rules: %v", err)
		}
	})
}
