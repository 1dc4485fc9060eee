package export

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/observe"
)

// lines encodes Records for one loop. It keeps what the last second looked
// like, because writing a date takes longer than all the rest.
type lines struct {
	b      []byte // used again
	text   bool
	second int64
	date   []byte // of second, up to the seconds
}

// line gives r's line with its line feed, lent until the next call.
func (l *lines) line(r *observe.Record) []byte {
	if l.text {
		l.b = l.common(l.b[:0], r)
	} else {
		l.b = l.json(l.b[:0], r)
	}
	return l.b
}

// stamp gives the second of t in layout, without time zone: UTC.
func (l *lines) stamp(t time.Time, layout string) []byte {
	if s := t.Unix(); s != l.second || len(l.date) == 0 {
		l.second = s
		l.date = t.UTC().AppendFormat(l.date[:0], layout)
	}
	return l.date
}

// json writes an object; what does not apply is left out.
func (l *lines) json(b []byte, r *observe.Record) []byte {
	b = append(append(b, `{"time":"`...), l.stamp(r.Start, "2006-01-02T15:04:05")...)
	millis := r.Start.Nanosecond() / 1e6
	b = append(b, '.', byte('0'+millis/100), byte('0'+millis/10%10), byte('0'+millis%10), 'Z', '"')
	b = appendJSONAddr(b, `,"client":"`, r.Client)
	b = appendJSONPort(b, `,"remote":"`, r.Remote)
	b = appendJSONField(b, `,"method":`, r.Method)
	b = appendJSONField(b, `,"scheme":`, r.Scheme)
	b = appendJSONField(b, `,"host":`, r.Host)
	b = appendJSONField(b, `,"path":`, r.Path)
	b = appendJSONField(b, `,"query":`, r.Query)
	if !r.IsFlow() {
		b = append(appendProtocol(append(b, `,"protocol":"`...), r.Minor), '"')
		b = strconv.AppendInt(append(b, `,"status":`...), int64(r.Status), 10)
	}
	if r.GRPC {
		b = appendJSONField(b, `,"grpc_status":`, r.GRPCStatus.String())
		b = appendJSONField(b, `,"grpc_method":`, r.GRPCMethod)
	}
	b = appendJSONField(b, `,"reason":`, r.Reason.String())
	if r.Flags != 0 {
		b = append(r.Flags.Append(append(b, `,"flags":"`...)), '"')
	}
	if r.Detail != nil {
		b = appendJSONField(b, `,"detail":`, r.Detail.Error())
	}
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), r.BytesIn, 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), r.BytesOut, 10)
	b = appendMillis(append(b, `,"duration_ms":`...), r.Duration)
	if r.Attempts > 0 {
		b = appendMillis(append(b, `,"upstream_ms":`...), r.Upstream)
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(r.Attempts), 10)
		b = appendJSONField(b, `,"retried":`, r.Retried)
		b = appendJSONField(b, `,"not_retried":`, r.NotRetried.String())
	}
	b = appendJSONField(b, `,"listener":`, r.Listener)
	b = appendJSONField(b, `,"route":`, r.Route)
	b = appendJSONField(b, `,"flow":`, r.Flow)
	b = appendJSONField(b, `,"service":`, r.Service)
	b = appendJSONPort(b, `,"endpoint":"`, r.Endpoint)
	b = appendJSONField(b, `,"chosen":`, r.Chosen)
	b = appendJSONField(b, `,"source":`, r.Source)
	b = appendJSONField(b, `,"destination":`, r.Destination)
	b = appendJSONField(b, `,"client_certificate":`, r.Subject)
	b = appendJSONField(b, `,"user_agent":`, r.UserAgent)
	b = appendJSONField(b, `,"request_id":`, r.RequestID)
	return append(b, "}\n"...)
}

// common writes the Common Log Format, so that the tools for that can read
// the line, and then what it has no place for.
func (l *lines) common(b []byte, r *observe.Record) []byte {
	if r.Client.IsValid() {
		b = r.Client.Unmap().AppendTo(b)
	} else {
		b = append(b, '-')
	}
	b = append(append(b, " - - ["...), l.stamp(r.Start, "02/Jan/2006:15:04:05")...)
	b = append(b, ` +0000] "`...)
	if r.IsFlow() {
		b = append(append(b, r.Scheme...), `" -`...) // neither request nor status
	} else {
		b = appendText(b, r.Method)
		b = appendText(append(b, ' '), r.Path)
		if len(r.Query) > 0 {
			b = appendText(append(b, '?'), r.Query)
		}
		b = appendProtocol(append(b, ' '), r.Minor)
		b = strconv.AppendInt(append(b, `" `...), int64(r.Status), 10)
	}
	b = strconv.AppendInt(append(b, ' '), r.BytesOut, 10)
	b = append(appendMillis(append(b, ' '), r.Duration), "ms"...)
	b = appendWord(append(b, " host="...), r.Host)
	if r.IsFlow() {
		b = appendWord(append(b, " flow="...), r.Flow)
	} else {
		b = appendWord(append(b, " route="...), r.Route)
	}
	b = appendWord(append(b, " service="...), r.Service)
	b = append(b, " endpoint="...)
	if r.Endpoint.IsValid() {
		b = r.Endpoint.AppendTo(b)
	} else {
		b = append(b, '-')
	}
	if r.Chosen != "" {
		b = appendWord(append(b, " chosen="...), r.Chosen)
	}
	if r.Source != "" || r.Destination != "" {
		b = appendWord(append(b, " source="...), r.Source)
		b = appendWord(append(b, " destination="...), r.Destination)
	}
	b = strconv.AppendInt(append(b, " attempts="...), int64(r.Attempts), 10)
	if r.Retried != "" {
		b = appendWord(append(b, " retried="...), r.Retried)
	}
	if r.NotRetried != observe.ReasonNone {
		b = appendWord(append(b, " not_retried="...), r.NotRetried.String())
	}
	if r.GRPC {
		b = appendWord(append(b, " grpc_status="...), r.GRPCStatus.String())
		b = appendWord(append(b, " grpc_method="...), r.GRPCMethod)
	}
	b = appendWord(append(b, " reason="...), r.Reason.String())
	if r.Flags != 0 {
		b = r.Flags.Append(append(b, " flags="...))
	}
	if r.Detail != nil {
		b = appendWord(append(b, " detail="...), r.Detail.Error())
	}
	if r.Subject != "" {
		b = appendWord(append(b, " certificate="...), r.Subject)
	}
	b = appendWord(append(b, " id="...), r.RequestID)
	b = appendText(append(b, ` agent="`...), r.UserAgent)
	return append(b, "\"\n"...)
}

// appendProtocol writes Record.Minor as a protocol.
func appendProtocol(b []byte, minor uint8) []byte {
	if minor < 2 {
		return append(b, 'H', 'T', 'T', 'P', '/', '1', '.', '0'+minor)
	}
	return strconv.AppendUint(append(b, "HTTP/"...), uint64(minor), 10)
}

// appendMillis writes d in milliseconds, to the microsecond.
func appendMillis(b []byte, d time.Duration) []byte {
	micros := max(int64(d/time.Microsecond), 0)
	b = strconv.AppendInt(b, micros/1000, 10)
	rest := micros % 1000
	return append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}

func appendJSONField[T text](b []byte, key string, s T) []byte {
	if len(s) == 0 {
		return b
	}
	return appendJSON(append(b, key...), s)
}

func appendJSONAddr(b []byte, key string, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return append(a.Unmap().AppendTo(append(b, key...)), '"')
}

func appendJSONPort(b []byte, key string, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return b
	}
	return append(a.AppendTo(append(b, key...)), '"')
}
