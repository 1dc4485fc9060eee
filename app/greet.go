package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/naru-mesh/naru/proxy"
)

// greet says where everything is and what to try.
func (g *gateway) greet() {
	prog := g.proxy.Program()
	g.mu.Lock()
	adminAddr := ""
	if g.admin != nil {
		adminAddr = "http://" + g.admin.Addr()
	}
	workloads := g.workloads
	g.mu.Unlock()
	var urls, notes []string
	bound := g.proxy.Bound()
	slices.SortFunc(bound, func(a, b proxy.Bound) int { return a.Addr.Compare(b.Addr) })
	for _, b := range bound {
		if b.Protocol == proxy.HTTP3 { // beside one of https
			continue
		}
		host, more := b.Addr.Addr().String(), ""
		if b.Addr.Addr().IsUnspecified() {
			host, more = "127.0.0.1", "  (and every other address)"
		} else if b.Addr.Addr().Is6() {
			host = "[" + host + "]"
		}
		urls = append(urls, fmt.Sprintf("%s://%s:%d", b.Protocol, host, b.Addr.Port()))
		notes = append(notes, more)
	}
	if g.opt.JSON {
		list := ""
		if len(urls) > 0 {
			list = `"` + strings.Join(urls, `","`) + `"`
		}
		fmt.Fprintf(g.opt.Out, `{"event":"running","version":%q,"listening":[%s],"admin":%q,"configuration":%q}`+"\n",
			Version(), list, adminAddr, prog.Snapshot.Version)
		return
	}
	fmt.Fprintf(g.opt.Out, "naru %s is running\n", Version())
	for i, u := range urls {
		fmt.Fprintf(g.opt.Out, "  listening  %s%s\n", u, notes[i])
	}
	if adminAddr != "" {
		fmt.Fprintf(g.opt.Out, "  admin      %s\n", adminAddr)
	}
	fmt.Fprintf(g.opt.Out, "  serving    %s to %s\n", count(len(prog.Snapshot.Routes)+len(prog.Snapshot.Flows), "route"), count(len(prog.Snapshot.Services), "service"))
	if workloads != "" {
		fmt.Fprintf(g.opt.Out, "  workloads  %s\n", workloads)
	}
	try := "try:"
	if len(urls) > 0 && strings.HasPrefix(urls[0], "http") {
		fmt.Fprintln(g.opt.Out, try+"  curl "+g.try(urls))
		try = "    "
	}
	if adminAddr != "" {
		fmt.Fprintf(g.opt.Out, "%s  curl %s/metrics\n", try, adminAddr)
	}
	fmt.Fprintln(g.opt.Out, "Ctrl-C stops it.")
}

// try gives what curl is told to try: a name, where there is one.
func (g *gateway) try(urls []string) string {
	i := max(slices.IndexFunc(urls, func(u string) bool { return strings.HasPrefix(u, "https") == (g.opt.TLS != "") }), 0)
	u := urls[i] + "/"
	switch {
	case g.opt.TLS == "auto" && len(g.opt.Names) > 0:
		return "-i https://" + g.opt.Names[0] + strings.TrimSuffix(u[strings.LastIndexByte(u, ':'):], ":443/")
	case strings.HasPrefix(u, "https"):
		return "-k -i " + u
	}
	return "-i " + u
}

// count writes "1 route", "2 routes".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
