package api

import (
	"net/http"
	"time"

	"packhouse/internal/registry"
)

func (a *API) downloadRoutes() []route {
	return []route{
		{"GET /projects/{id}/packages/{package_id}/downloads", a.showDownloads, operation{tag: "Packages", summary: "How often a package was downloaded, day by day", out: downloadsJSON{},
			in: []param{inDate("from").says("29 days before to, by default"), inDate("to").says("today, by default"), inNumber("package_file_id").says("only this file")}}},
	}
}

type downloadsJSON struct {
	From      date      `json:"from"`
	To        date      `json:"to"`
	Total     int64     `json:"total"`          // of these days
	Downloads int64     `json:"download_count"` // ever
	Days      []dayJSON `json:"days"`           // each of them
}

type dayJSON struct {
	Date  date  `json:"date"`
	Count int64 `json:"count"`
}

func (a *API) showDownloads(w http.ResponseWriter, r *http.Request) error {
	const day = 24 * time.Hour
	var from, to time.Time
	var file int64
	var counts []registry.DayCount
	j := downloadsJSON{Days: []dayJSON{}}
	_, _, _, err := a.onePackage(w, r, func(c *call) {
		if to = c.date("to"); to.IsZero() {
			to = time.Now().UTC().Truncate(day)
		}
		if from = c.date("from"); from.IsZero() {
			from = to.Add(-29 * day)
		}
		switch days := to.Sub(from)/day + 1; {
		case days < 1:
			c.problem("from must not be after to")
		case days > registry.KeepDownloads/day:
			c.problem("from must be less than 400 days before to")
		}
		file = c.number("package_file_id", 0)
	}, func(c *call, tx registry.Tx, p *registry.Package) (err error) {
		j.Downloads = p.Downloads
		if c.has("package_file_id") {
			f, err := tx.File(file)
			if err == nil && f.PackageID != p.ID {
				err = errNotFound
			}
			if err != nil {
				return err
			}
			j.Downloads = f.Downloads
		}
		counts, err = tx.DownloadsByDay(p.ID, file, from, to)
		return err
	})
	if err != nil {
		return err
	}
	j.From, j.To = date(from), date(to)
	for at := from; !at.After(to); at = at.Add(day) {
		d := dayJSON{Date: date(at)}
		if len(counts) > 0 && counts[0].Day.Equal(at) {
			d.Count, counts = counts[0].Count, counts[1:]
		}
		j.Total += d.Count
		j.Days = append(j.Days, d)
	}
	return writeJSON(w, http.StatusOK, j)
}
