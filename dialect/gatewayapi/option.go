package gatewayapi

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/naru-mesh/naru/model"
)

// Keys in listeners[].tls.options that naru has.
const (
	// minTLSOption is the lowest version of TLS that the listener accepts,
	// "1.2" (the default) or "1.3".
	minTLSOption = "naru.dev/min-tls-version"
	// issuerOption gets certificates without anybody's doing, from "acme" or
	// "local", for the names that certificateRefs do not cover.
	issuerOption = "naru.dev/issuer"
	// emailOption is given to the authority; issuer acme only.
	emailOption = "naru.dev/acme-email"
	// directoryOption is the URL of the authority, Let's Encrypt's by default;
	// issuer acme only.
	directoryOption = "naru.dev/acme-directory"
	// http3Option serves the same over QUIC: "true" or "false" (the default).
	// HTTPS only.
	http3Option = "naru.dev/http3"
)

// optionNames are all of them.
func optionNames() []string {
	return []string{minTLSOption, issuerOption, emailOption, directoryOption, http3Option}
}

// options reads the options of a listener's TLS.
func (r *reader) options(l *listener, field string, in map[gateway.AnnotationKey]gateway.AnnotationValue) {
	var acme []string // options that are for issuer acme
	var issued model.Issuance
	for _, option := range slices.Sorted(maps.Keys(in)) {
		value, at := string(in[option]), optionField(field, string(option))
		refuse := func(message, hint string) {
			l.refuse(r, at, "bad-value", gateway.ListenerReasonUnsupportedValue, message, hint)
		}
		if l.passthrough {
			r.doubtful(at, "unused", "with mode Passthrough the options of tls are of no account", "")
			continue
		}
		switch option {
		case minTLSOption:
			if l.minTLS = value; value != "1.2" && value != "1.3" {
				refuse("the lowest version of TLS is 1.2 or 1.3", "")
			}
		case issuerOption:
			if issued.By = model.IssuedBy(value); issued.By != model.ACME && issued.By != model.Local {
				refuse(strconv.Quote(value)+" is none of acme, local", didYouMean(value, []string{"acme", "local"}))
			}
			l.issuance = &issued
		case emailOption:
			if issued.Email = value; !strings.Contains(value, "@") {
				refuse(strconv.Quote(value)+" is not an email address", "")
			}
			acme = append(acme, at)
		case directoryOption:
			if u, err := url.Parse(value); err != nil || u.Scheme != "https" || u.Host == "" {
				refuse(strconv.Quote(value)+" is not an https URL", "write for example https://acme-staging-v02.api.letsencrypt.org/directory")
			}
			issued.Directory = value
			acme = append(acme, at)
		case http3Option:
			switch {
			case value != "true" && value != "false":
				refuse(strconv.Quote(value)+" is none of true, false", "")
			case value == "true" && l.protocol != gateway.HTTPSProtocolType:
				refuse("HTTP/3 is for listeners with protocol HTTPS", "")
			}
			l.http3 = value == "true"
		default:
			r.doubtful(at, "not-served", "naru has no option "+string(option), optionHint(string(option)))
		}
	}
	for _, at := range acme {
		if issued.By != model.ACME {
			l.refuse(r, at, "conflict", gateway.ListenerReasonUnsupportedValue, "this is for certificates from an ACME authority", issuerOption+": acme")
		}
	}
}

// optionField is the path of an option.
func optionField(field, option string) string { return field + `["` + option + `"]` }

// optionHint proposes the option that was meant, or tells them all.
func optionHint(option string) string {
	if hint := didYouMean(option, optionNames()); hint != "" {
		return hint
	}
	return "naru has " + strings.Join(optionNames(), ", ")
}
