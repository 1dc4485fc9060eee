package main

import (
	"fmt"
	"html"
	"strings"
)

// The chart's measures, in pixels.
const (
	chartWidth = 900
	labelWidth = 320
	barHeight  = 13
	barGap     = 3
	groupGap   = 16
	headHeight = 92
	mostRatio  = 1.5 // longer bars are cut
)

var colours = map[string]string{"nginx": "#2a9d5c", "haproxy": "#3b72b8", "caddy": "#8a63b5", "envoy": "#c2577a"}

// chart draws naru's CPU per request relative to each of the others: a bar
// that ends before the line at 1 is a case in which naru is cheaper.
func (r *report) chart() string {
	var b strings.Builder
	y := headHeight
	unit := float64(chartWidth-labelWidth-60) / mostRatio
	x := func(ratio float64) float64 { return labelWidth + ratio*unit }
	for _, row := range r.Rows {
		bars := 0
		for _, name := range row.Order {
			m := row.Peers[name]
			if m.Ratio == nil {
				continue
			}
			at := y + bars*(barHeight+barGap)
			if bars == 0 {
				fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" font-weight="600">%s</text>`+"\n", labelWidth-72, at+barHeight-2, html.EscapeString(row.Title))
			}
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#666">%s</text>`+"\n", labelWidth-8, at+barHeight-2, name)
			end := x(min(m.Ratio.Median, mostRatio))
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n", labelWidth, at, end-labelWidth, barHeight, colours[name])
			if m.Ratio.Max <= mostRatio {
				fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="#222" stroke-opacity=".45"/>`+"\n", x(m.Ratio.Min), float64(at)+barHeight/2., x(m.Ratio.Max))
				end = max(end, x(m.Ratio.Max))
			}
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.2f</text>`+"\n", end+5, at+barHeight-2, m.Ratio.Median)
			bars++
		}
		if bars > 0 {
			y += bars*(barHeight+barGap) + groupGap
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" fill="#222">`+"\n", chartWidth, y+10)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fdfdfb"/>`+"\n", chartWidth, y+10)
	fmt.Fprintf(&out, `<text x="24" y="30" font-size="18" font-weight="700">CPU time per request: naru, relative to others</text>`+"\n")
	fmt.Fprintf(&out, `<text x="24" y="50" fill="#555">Shorter is better; at 1.00 both cost the same. Medians of %d rounds; the thin line is from the least to the most.</text>`+"\n", r.Rounds)
	fmt.Fprintf(&out, `<text x="24" y="67" fill="#555">%s</text>`+"\n", html.EscapeString(strings.Join(r.Facts.lines()[1:2], "")+"; naru with "+fmt.Sprint(r.Facts.Routes)+" routes and metrics"))
	for _, at := range []float64{0.25, 0.5, 0.75, 1, 1.25, 1.5} {
		stroke := "#e4e4de"
		if at == 1 {
			stroke = "#888"
		}
		fmt.Fprintf(&out, `<path d="M%.1f %dV%d" stroke="%s"/><text x="%.1f" y="%d" text-anchor="middle" fill="#888">%.2f</text>`+"\n", x(at), headHeight-6, y-4, stroke, x(at), headHeight-10, at)
	}
	out.WriteString(b.String())
	out.WriteString("</svg>\n")
	return out.String()
}
