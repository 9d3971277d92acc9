package junos

import "testing"

func TestParseLoad(t *testing.T) {
	engine := func(inner string) string {
		return "<route-engine><slot>0</slot>" + inner + "</route-engine>"
	}
	all := func(inner string) string {
		return `<route-engine-information xmlns="http://xml.juniper.net/junos/23.4R0/junos-chassis">` + inner + "</route-engine-information>"
	}
	five := "<cpu-user>10</cpu-user><cpu-background>1</cpu-background><cpu-system>5</cpu-system><cpu-interrupt>2</cpu-interrupt>"
	for _, c := range []struct {
		name, payload string
		want          int
		ok            bool
	}{
		{"idle told", all(engine(five + "<cpu-idle>81</cpu-idle>")), 19, true},
		{"idle not told", all(engine(five)), 18, true},
		{"the minute counts", all(engine(five + "<cpu-idle>0</cpu-idle><cpu-idle1>70</cpu-idle1><cpu-idle2>90</cpu-idle2>")), 30, true},
		{"the busiest first", all(engine("<cpu-idle>3</cpu-idle>") + engine("<cpu-idle>90</cpu-idle>")), 97, true},
		{"the busiest of two", all(engine("<cpu-idle>90</cpu-idle>") + engine("<cpu-idle>3</cpu-idle>")), 97, true},
		{"on each engine", engines(all(engine("<cpu-idle>2</cpu-idle>")), all(engine("<cpu-idle>99</cpu-idle>"))), 98, true},
		{"one engine dead", engines("<output>error: no route to host</output>", all(engine("<cpu-idle>60</cpu-idle>"))), 40, true},
		{"white space and words", all(engine("<cpu-idle>\n 88 percent\n</cpu-idle>")), 12, true},
		{"more than all", all(engine("<cpu-user>90</cpu-user><cpu-system>90</cpu-system>")), 100, true},
		{"nothing known of the backup", all(engine("<cpu-idle>70</cpu-idle>") +
			engine("<cpu-user>0</cpu-user><cpu-background>0</cpu-background><cpu-system>0</cpu-system><cpu-interrupt>0</cpu-interrupt><cpu-idle>0</cpu-idle>")), 30, true},
		{"no number", all(engine("<cpu-idle>n/a</cpu-idle>")), 0, false},
		{"out of range", all(engine("<cpu-idle>-5</cpu-idle>") + engine("<cpu-idle>101</cpu-idle>")), 0, false},
		{"no load", all(engine("<status>OK</status>")), 0, false},
		{"an error", "<rpc-error><error-message>x</error-message></rpc-error>", 0, false},
	} {
		got, ok := ParseLoad([]byte(replyTo("1", c.payload)))
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %d, %v, want %d, %v", c.name, got, ok, c.want, c.ok)
		}
	}
	if _, ok := ParseLoad(nil); ok {
		t.Error("an empty document has a load")
	}
}

func TestCorpusLoad(t *testing.T) {
	read := 0
	for _, row := range corpusFiles(t) {
		if row["rpc"] != "get-route-engine-information" {
			continue
		}
		load, ok := ParseLoad(readCorpus(t, row["file"]))
		if ok {
			read++
		}
		if load < 0 || load > 100 {
			t.Errorf("%s: %d %%", row["file"], load)
		}
	}
	if read < 15 {
		t.Errorf("%d loads were read", read)
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add([]byte(replyTo("1", "<route-engine-information><route-engine><cpu-idle>90</cpu-idle></route-engine></route-engine-information>")))
	f.Add([]byte("<route-engine><cpu-user1>7 percent</cpu-user1>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if load, ok := ParseLoad(doc); load < 0 || load > 100 || !ok && load != 0 {
			t.Errorf("%d, %v", load, ok)
		}
	})
}
