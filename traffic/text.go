package traffic

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/naru-mesh/naru/model"
)

// said writes what a field says in the words and units in which it is written:
// the model has hundredths, millionths and negative numbers, which nobody has
// written.
func (f *field) said(v reflect.Value) string {
	switch f.name {
	case "ejection.deviation", "ejection.slowness":
		if n := v.Int(); n > 0 {
			return decimal(float64(n) / 100)
		}
	case "retryBudget.percent", "retryBudget.minPerSecond":
		if v.Int() < 0 { // 0 is written so
			return "0"
		}
	case "ejection.successRate", "ejection.maxEjected":
		if n := v.Int(); n > 0 {
			return strconv.FormatInt(n, 10) + "%"
		}
	}
	return text(v)
}

// text writes a value as people would.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return span(x)
	case *model.Fault:
		return faultText(x)
	case *model.Hedge:
		return hedgeText(x)
	case *model.Session:
		return sessionText(x)
	case *model.HealthCheck:
		return healthText(x)
	case *model.SlowStart:
		return slowStartText(x)
	case *model.Shape:
		return shapeText(x)
	case *model.Rollout:
		return rolloutText(x)
	case model.HashKey:
		return strings.TrimSpace(string(x.Kind) + " " + x.Name)
	case model.Retry:
		if x.Attempts == 0 {
			return "off"
		}
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return text(v.Elem())
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, text(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Struct:
		var o object
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
				o.add(name, text(f))
			}
		}
		return o.String()
	case reflect.Int, reflect.Int64:
		if v.Int() < 0 {
			return "off"
		}
	}
	return fmt.Sprint(v.Interface())
}

// object is "{a: 1, b: 2}".
type object []string

// add leaves out what is "".
func (o *object) add(name, value string) {
	if value != "" {
		*o = append(*o, name+": "+value)
	}
}

func (o object) String() string { return "{" + strings.Join(o, ", ") + "}" }

// span writes a duration without zeros at its end, and "off" for none.
func span(d time.Duration) string {
	if d < 0 {
		return "off"
	}
	text := d.String()
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}

// spanned is span, and "" for 0.
func spanned(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return span(d)
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// number is "" for 0 and "off" below.
func number(n int) string {
	switch {
	case n == 0:
		return ""
	case n < 0:
		return "off"
	}
	return strconv.Itoa(n)
}

// share is a percentage of what counts in millionths, "" for 0.
func share(n int) string {
	if n == 0 {
		return ""
	}
	return decimal(float64(n) / (model.Million / 100))
}

// rate is bytes a second, "" for 0.
func rate(n int64) string {
	switch {
	case n == 0:
		return ""
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB/s", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB/s", n>>10)
	}
	return fmt.Sprintf("%dB/s", n)
}

func faultText(f *model.Fault) string {
	if f.Off {
		return "off"
	}
	var o object
	o.add("delay", spanned(f.Delay))
	o.add("delayPercent", share(f.DelayShare))
	o.add("status", number(f.Status))
	o.add("grpc", number(f.GRPC))
	o.add("abortPercent", share(f.AbortShare))
	o.add("requestRate", rate(f.RequestRate))
	o.add("responseRate", rate(f.ResponseRate))
	o.add("ratePercent", share(f.RateShare))
	o.add("header", f.Header)
	return o.String()
}

func hedgeText(h *model.Hedge) string {
	switch {
	case h.Off:
		return "off"
	case h.Quantile > 0:
		return "p" + strconv.Itoa(h.Quantile)
	}
	return span(h.After)
}

func sessionText(s *model.Session) string {
	text := string(s.Kind)
	if s.Name != "" {
		text += " " + s.Name
	}
	if s.Lifetime > 0 {
		text += " for " + span(s.Lifetime)
	}
	if s.Permanent {
		text += ", also when the browser has ended"
	}
	return text
}

func healthText(h *model.HealthCheck) string {
	if h.Kind == model.HealthOff {
		return "off"
	}
	var o object
	switch h.Kind {
	case model.HealthHTTP:
		o.add("path", cmp.Or(h.Path, "/"))
	default:
		o.add(string(h.Kind), cmp.Or(h.Service, "true"))
	}
	o.add("host", h.Host)
	o.add("interval", spanned(h.Interval))
	o.add("timeout", spanned(h.Timeout))
	o.add("healthy", number(h.Healthy))
	o.add("unhealthy", number(h.Unhealthy))
	if h.MinStatus != 0 || h.MaxStatus != 0 {
		o.add("status", fmt.Sprintf("%d-%d", cmp.Or(h.MinStatus, 200), cmp.Or(h.MaxStatus, 399)))
	}
	return o.String()
}

func slowStartText(s *model.SlowStart) string {
	if s.Window <= 0 {
		return "off"
	}
	text := span(s.Window)
	if s.Aggression != 0 {
		text += ", aggression " + decimal(s.Aggression)
	}
	if s.Floor != 0 {
		text += fmt.Sprintf(", from %d%%", s.Floor)
	}
	return text
}

func shapeText(s *model.Shape) string {
	if s.Off {
		return "off"
	}
	var o object
	if s.Requests > 0 {
		per := map[time.Duration]string{0: "s", time.Second: "s", time.Minute: "m", time.Hour: "h"}[s.Per]
		o.add("requests", fmt.Sprintf("%d/%s", s.Requests, cmp.Or(per, span(s.Per))))
	}
	o.add("burst", number(s.Burst))
	if s.Queue < 0 {
		o.add("queue", "0")
	} else {
		o.add("queue", number(s.Queue))
	}
	o.add("wait", spanned(s.Wait))
	o.add("upload", rate(s.Upload))
	o.add("download", rate(s.Download))
	o.add("totalUpload", rate(s.TotalUpload))
	o.add("totalDownload", rate(s.TotalDownload))
	return o.String()
}

func rolloutText(r *model.Rollout) string {
	var o object
	o.add("to", r.To)
	if len(r.Steps) > 0 {
		var steps []string
		for _, s := range r.Steps {
			if s.Hold != 0 {
				steps = append(steps, fmt.Sprintf("{percent: %s, for: %s}", share(s.Share), span(s.Hold)))
			} else {
				steps = append(steps, share(s.Share))
			}
		}
		o.add("steps", "["+strings.Join(steps, ", ")+"]")
	}
	o.add("every", spanned(r.Hold))
	o.add("success", share(r.Success))
	if l := r.Latency; l != nil {
		text := "off"
		if !l.Off {
			text = span(l.Most)
			if l.Most == 0 {
				text = decimal(float64(cmp.Or(l.Ratio, model.DefaultRolloutRatio))/100) + "x"
			}
			if l.Quantile != 0 {
				text = fmt.Sprintf("p%d %s", l.Quantile, text)
			}
		}
		o.add("latency", text)
	}
	o.add("minRequests", number(r.MinRequests))
	o.add("maxWait", spanned(r.MaxWait))
	o.add("version", r.Version)
	return o.String()
}
