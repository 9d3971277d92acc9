package portal

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
)

// column is a heading of the inventory that sorts by it.
type column struct {
	Title, Query string
	Aria, Arrow  string // of the one that is sorted by
}

// inventoryData is the data of the page "inventory".
type inventoryData struct {
	Filter     filter
	Sort       string // name of a column; "-" before it turns the order
	Query      string // of this page, for the export
	Collectors []string
	Columns    []column
	Devices    []apitype.Device
	Unknown    int // devices without facts
}

// sorter compares devices by one column.
type sorter struct {
	name, title string
	compare     func(a, b apitype.Device) int
}

func sorters() []sorter {
	text := func(of func(apitype.Device) string) func(a, b apitype.Device) int {
		return func(a, b apitype.Device) int { return natural(of(a), of(b)) }
	}
	collected := func(a, b apitype.Device) int { return a.LastSuccess.Compare(b.LastSuccess) }
	return []sorter{
		{"name", "Host name", text(func(d apitype.Device) string { return cmp.Or(d.HostName, d.ID) })},
		{"model", "Model", text(func(d apitype.Device) string { return d.Model })},
		{"serial", "Serial", text(func(d apitype.Device) string { return d.Serial })},
		{"version", "Junos version", text(func(d apitype.Device) string { return d.Version })},
		{"collected", "Collected", collected},
		{"age", "Age", func(a, b apitype.Device) int { return collected(b, a) }},
		{"state", "State", text(func(d apitype.Device) string { return d.State })},
		{"collector", "Collector", text(func(d apitype.Device) string { return d.Collector })},
	}
}

func (p *Portal) inventory(v *visit) error {
	d, err := v.inventoryData()
	if err != nil {
		return err
	}
	return v.render("inventory", "inventory", d)
}

func (v *visit) inventoryData() (inventoryData, error) {
	d := inventoryData{Filter: readFilter(v.r), Sort: v.r.FormValue("sort")}
	var err error
	if d.Collectors, err = v.collectorIDs(); err != nil {
		return d, err
	}
	if d.Devices, err = v.chosen(d.Filter); err != nil {
		return d, err
	}
	d.order()
	d.Query = d.query(d.Sort)
	for _, x := range d.Devices {
		if x.HostName == "" && x.Model == "" {
			d.Unknown++
		}
	}
	return d, nil
}

// order sorts the devices and makes the headings.
func (d *inventoryData) order() {
	name, down := strings.CutPrefix(d.Sort, "-")
	all := sorters()
	at := max(slices.IndexFunc(all, func(s sorter) bool { return s.name == name }), 0)
	for i, s := range all {
		c := column{Title: s.title, Query: d.query(s.name)}
		switch {
		case i == at && down:
			c.Aria, c.Arrow = "descending", " ↓"
		case i == at:
			c.Aria, c.Arrow, c.Query = "ascending", " ↑", d.query("-"+s.name)
		}
		d.Columns = append(d.Columns, c)
	}
	slices.SortStableFunc(d.Devices, func(a, b apitype.Device) int {
		n := all[at].compare(a, b)
		if down {
			n = -n
		}
		return cmp.Or(n, natural(a.ID, b.ID))
	})
}

// query is the address of this table in another order.
func (d *inventoryData) query(sort string) string {
	q := url.Values{}
	for name, value := range map[string]string{"q": d.Filter.Query, "collector": d.Filter.Collector, "sort": sort} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}

// natural compares texts with the numbers in them by value, so that 22.4R2
// comes before 22.10R1.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := chunk(a), chunk(b)
		a, b = a[len(x):], b[len(y):]
		if x == y {
			continue
		}
		if isDigit(x[0]) && isDigit(y[0]) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if n := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); n != 0 {
				return n
			}
			continue
		}
		return cmp.Or(strings.Compare(strings.ToLower(x), strings.ToLower(y)), strings.Compare(x, y))
	}
	return cmp.Compare(len(a), len(b))
}

// chunk is the longest start of s that is all digits, or has none.
func chunk(s string) string {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *Portal) inventoryCSV(v *visit) error {
	d, err := v.inventoryData()
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "inventory-"+time.Now().UTC().Format("2006-01-02")+".csv"))
	w := csv.NewWriter(v.w)
	w.UseCRLF = true // RFC 4180 §2
	rows := [][]string{{"host_name", "device", "model", "serial", "version", "collected", "state", "error", "address", "collector"}}
	for _, x := range d.Devices {
		collected := ""
		if !x.LastSuccess.IsZero() {
			collected = x.LastSuccess.UTC().Format(time.RFC3339)
		}
		row := []string{x.HostName, x.ID, x.Model, x.Serial, x.Version, collected, x.State, x.Error, x.Address, x.Collector}
		for i, cell := range row {
			row[i] = harmless(cell)
		}
		rows = append(rows, row)
	}
	_ = w.WriteAll(rows) // a visitor that went away needs no file
	return nil
}

// harmless keeps a spreadsheet from running what a device said as a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
