package edp

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

const documentColumns = `d.id, d.collector, d.boot, d.run, d.device, d.item, d.outcome, d.flags, d.sha256, d.size,
	d.collected_at, d.received_at, d.raw_sha256, d.raw_size, d.masked, d.same_as <> ''`

func scanDocument(r row) (d Document, err error) { return d, r.Scan(documentDest(&d)...) }

func documentDest(d *Document) []any {
	return []any{&d.ID, &d.Collector, &d.Boot, &d.Run, &d.Device, &d.Item, &d.Outcome, jsonColumn{&d.Flags},
		&d.SHA256, &d.Size, moment{&d.CollectedAt}, moment{&d.ReceivedAt},
		&d.RawSHA256, &d.RawSize, jsonColumn{&d.Masked}, &d.Unchanged}
}

// Documents returns the documents that f chooses, newest first, without their
// bodies.
func (s *Store) Documents(ctx context.Context, f DocumentFilter) ([]Document, error) {
	if f.Limit <= 0 {
		f.Limit = math.MaxInt32
	}
	query, args := f.query()
	list, err := all(ctx, s.read, scanDocument, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing documents: %w", err)
	}
	return list, nil
}

// eachPage is how many documents EachDocument reads at a time: no transaction
// stays open while its caller works.
const eachPage = 500

// EachDocument gives each document of a run, or of a whole collector where run is
// empty, without its body: by device and item those of a run, else by id. The
// error of each ends it.
func (s *Store) EachDocument(ctx context.Context, collector, run string, each func(Document) error) error {
	var after Document
	for more := true; more; {
		query, args := pageQuery(collector, run, after)
		list, err := all(ctx, s.read, scanDocument, query, args...)
		if err != nil {
			return fmt.Errorf("listing the documents of collector %.80q: %w", collector, err)
		}
		for _, d := range list {
			if err := each(d); err != nil {
				return err
			}
			after = d
		}
		more = len(list) == eachPage
	}
	return nil
}

// pageQuery lists the documents after one, along an index.
func pageQuery(collector, run string, after Document) (string, []any) {
	const from = `SELECT ` + documentColumns + ` FROM documents d WHERE d.collector = $1`
	if run == "" {
		return from + ` AND d.id > $2 ORDER BY d.id LIMIT $3`, []any{collector, after.ID, eachPage}
	}
	return from + ` AND d.run = $2 AND (d.device, d.item) > ($3, $4) ORDER BY d.device, d.item LIMIT $5`,
		[]any{collector, run, after.Device, after.Item, eachPage}
}

// query names only what f asks for: with "$2 = ” OR ..." no index would be of
// use. Where devices or runs narrow it down, the few that are left are sorted;
// "+ 0" keeps the index by time, which would give all in order, out of it.
// CROSS JOIN makes SQLite begin with the newest ones.
func (f DocumentFilter) query() (text string, args []any) {
	from, place, time := `documents d`, `d`, `d.collected_at`
	args = []any{f.Limit}
	var where []string
	is := func(condition, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, fmt.Sprintf(condition, len(args)))
		}
	}
	if f.Latest {
		from, place = `latest_documents l CROSS JOIN documents d`, `l`
		where = append(where, `d.collector = l.collector AND d.id = l.document`)
	}
	if f.Latest || f.Device != "" || f.Run != "" {
		time += ` + 0`
	}
	is(place+`.collector = $%d`, f.Collector)
	is(place+`.device = $%d`, f.Device)
	is(place+`.item = $%d`, f.Item)
	is(`d.run = $%d`, f.Run)
	switch { // indexes begin with the collector
	case f.Collector != "":
	case f.Run != "":
		is(place+`.collector = (SELECT collector FROM runs WHERE id = $%d)`, f.Run)
	case f.Device != "":
		where = append(where, place+`.collector IN (SELECT id FROM collectors)`)
	}
	if len(where) > 0 {
		from += ` WHERE ` + strings.Join(where, ` AND `)
	}
	return `SELECT ` + documentColumns + ` FROM ` + from + ` ORDER BY ` + time + ` DESC, d.id DESC LIMIT $1`, args
}

// sortedUnique sorts ids, each once.
func sortedUnique(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
