package web

import (
	"time"

	"packhouse/internal/registry"
)

// chart is bars of days, in a picture of 720 by 120.
type chart struct {
	Bars   []bar
	Total  int64
	Most   int64 // of a day
	From   time.Time
	To     time.Time
	Second bool   // there are two numbers for each day
	Unit   string // "bytes", or nothing
	Name   string // of what it shows
}

type bar struct {
	Day                    time.Time
	Count, Own             int64
	X, Y, W, H, OwnY, OwnH float64
}

const (
	chartWidth  = 720
	chartHeight = 100
)

// newChart draws a number for each day, and a part of it.
func newChart(from, to time.Time, whole, own []registry.DayCount) chart {
	c := chart{From: from, To: to, Second: own != nil}
	days := int(to.Sub(from)/(24*time.Hour)) + 1
	step := float64(chartWidth) / float64(days)
	for i := range days {
		day := from.AddDate(0, 0, i)
		b := bar{Day: day, X: float64(i) * step, W: step * 0.75}
		if len(whole) > 0 && whole[0].Day.Equal(day) {
			b.Count, whole = whole[0].Count, whole[1:]
		}
		if len(own) > 0 && own[0].Day.Equal(day) {
			b.Own, own = own[0].Count, own[1:]
		}
		c.Total += b.Count
		c.Most = max(c.Most, b.Count)
		c.Bars = append(c.Bars, b)
	}
	for i := range c.Bars {
		b := &c.Bars[i]
		if c.Most > 0 {
			b.H = float64(b.Count) / float64(c.Most) * chartHeight
			b.OwnH = float64(b.Own) / float64(c.Most) * chartHeight
		}
		b.Y, b.OwnY = chartHeight-b.H, chartHeight-b.OwnH
	}
	return c
}

// Table is the days on which there was something, the latest first.
func (c chart) Table() (days []bar) {
	for i := len(c.Bars) - 1; i >= 0; i-- {
		if c.Bars[i].Count > 0 {
			days = append(days, c.Bars[i])
		}
	}
	return days
}

// Named is the chart with the name of what it shows.
func (c chart) Named(name string) chart {
	c.Name = name
	return c
}

// Size, Sum and Peak write its numbers.
func (c chart) Size(n int64) string {
	if c.Unit != "bytes" {
		return count(n)
	}
	return plainSize(n)
}
func (c chart) Sum() string  { return c.Size(c.Total) }
func (c chart) Peak() string { return c.Size(c.Most) }
