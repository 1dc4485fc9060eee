package observe

// infos is written once, here, and never changed.
var infos = [Reasons]Info{
	BadRequestLine:    {"bad_request_line", 400, "The request line is not HTTP/1.1", "DPE", "The first line was not `method SP target SP HTTP/1.x CRLF`, or a line ended in a bare CR or LF.", "Look at the bytes that the client sends; HTTP/2 or TLS on a plain HTTP port looks like this too."},
	BadVersion:        {"bad_version", 505, "The HTTP version is not supported", "DPE", "The request names a version other than HTTP/1.0 and HTTP/1.1.", "Use HTTP/1.1."},
	BadField:          {"bad_field", 400, "A header field is malformed", "DPE", "A field line has an illegal name, a space before the colon, a folded line, a control character or a bare CR or LF.", "Correct the client; such requests are refused because proxies and servers read them differently."},
	BadHost:           {"bad_host", 400, "The Host header is missing, repeated or malformed", "DPE", "An HTTP/1.1 request must carry exactly one valid Host (RFC 9112 section 3.2).", "Send one Host header that is a host name or an address, with an optional port."},
	BadLength:         {"bad_length", 400, "Content-Length is malformed or contradictory", "DPE", "Content-Length was not a number, or appeared twice with different values.", "Send one Content-Length."},
	BadTransferCoding: {"bad_transfer_coding", 400, "Transfer-Encoding is not understood", "DPE", "The only transfer coding is chunked, once, in HTTP/1.1.", "Send chunked, or a Content-Length; compress with Content-Encoding instead."},
	LengthAndChunked:  {"length_and_chunked", 400, "Both Content-Length and Transfer-Encoding were sent", "DPE", "A message with both framings is how requests are smuggled past proxies, so it is refused.", "Send only one of the two."},
	BadChunk:          {"bad_chunk", 400, "The chunked body is malformed", "DPE", "A chunk size was not hexadecimal or too large, or a chunk did not end in CRLF.", "Correct the client's chunked encoding."},
	BadTarget:         {"bad_target", 400, "The request target is malformed", "DPE", "The target is not an absolute path, an absolute http URL or `*` for OPTIONS, climbs above the root, or holds a control character, a space, a fragment or a broken percent encoding.", "Encode the path (RFC 3986)."},
	BadUpgrade:        {"bad_upgrade", 400, "The upgrade is malformed", "DPE", "CONNECT was used, or Upgrade without Connection: upgrade on a request that cannot be upgraded.", "Use GET with Connection: upgrade and one Upgrade value."},
	BadExpect:         {"bad_expect", 417, "The expectation is not understood", "DPE", "The only expectation is 100-continue (RFC 9110 section 10.1.1).", "Leave the Expect header out."},

	URITooLong:         {"uri_too_long", 414, "The request target is too long", "", "The target is longer than the listener's uriBytes.", "Shorten it, or raise limits.uriBytes."},
	HeadTooLarge:       {"head_too_large", 431, "The request head is too large", "", "Request line and header fields together exceed the listener's headBytes.", "Send fewer or smaller cookies, or raise limits.headBytes."},
	TooManyFields:      {"too_many_fields", 431, "There are too many header fields", "", "The request has more header lines than the listener's fields.", "Send fewer, or raise limits.fields."},
	BodyTooLarge:       {"body_too_large", 413, "The request body is too large", "", "The body exceeds the listener's bodyBytes.", "Send less, or raise limits.bodyBytes."},
	HeadTimeout:        {"head_timeout", 408, "The request head took too long", "", "The head was not complete within limits.head; slow-drip attacks look like this.", "Nothing if the client is hostile; raise limits.head for very slow clients."},
	BodyTimeout:        {"body_timeout", 408, "The request body took too long", "", "No part of the body came within limits.body.", "Raise limits.body for clients that pause while sending."},
	TooManyConnections: {"too_many_connections", 503, "The listener has too many connections", "", "The listener's limits.connections are all in use.", "Raise the limit, shorten limits.idle, or add a gateway."},

	ClientGone:       {"client_gone", 499, "The client went away", "DC", "The client closed or reset the connection before the response was complete. 499 stands in the log only; the client sees nothing.", "Usually nothing; many of these point to answers slower than the client's patience."},
	WriteTimeout:     {"write_timeout", 499, "The client stopped reading", "", "The client took nothing of the pending response within limits.write, so the connection was reset.", "Raise limits.write for clients that pause while reading."},
	HandshakeFailed:  {"handshake_failed", 0, "The TLS handshake failed", "", "The client and the listener did not agree on a TLS version, a cipher or a certificate.", "See the debug log for the client's words; clients older than TLS 1.2 are refused."},
	HandshakeTimeout: {"handshake_timeout", 0, "The TLS handshake took too long", "", "The handshake was not complete within limits.handshake.", "Nothing if few; raise limits.handshake otherwise."},

	NoListener:     {"no_listener", 404, "No listener serves this host", "NR", "The port is open, but no listener on it has a hostname that covers the request's Host.", "Run `naru explain METHOD URL`; add the host to a listener."},
	NoRoute:        {"no_route", 404, "No route matches", "NR", "No route of the listener matches host, path, method, headers, query and cookies.", "Run `naru explain METHOD URL` to see how near each route came."},
	NoBackend:      {"no_backend", 500, "The route leads nowhere", "", "The rule has no backends, or all its weights are 0.", "Give the route a `to`, or backendRefs with weight."},
	InvalidBackend: {"invalid_backend", 500, "The route's backend does not exist", "", "The backend reference did not resolve: unknown service or kind, no ReferenceGrant, or a service that is refused because of a mistake. A rule whose filters naru check refuses leads nowhere, too.", "Run `naru check`; it names the mistake and what would be right."},
	InvalidFilter:  {"invalid_filter", 500, "A filter of the route cannot be built", "", "The configuration is valid, but a filter of the rule, or of the service that was chosen, could not be built from it. Requests do not pass without it, because it may be what protects the service.", "See /problems or the log: they name the rule and what is wrong."},
	Misdirected:    {"misdirected", 421, "The connection is for another host", "", "The Host belongs to a listener with another certificate than the one this TLS connection was opened for.", "Open a new connection; clients do so by themselves on 421."},
	PortRemoved:    {"port_removed", 503, "The port is no longer configured", "", "The request came on a connection from before a change of the configuration that took its port, or the protocol of its port, away.", "Nothing: the connection ends with this answer, and new ones are not accepted there."},
	NoProgram:      {"no_program", 503, "There is no configuration yet", "", "The proxy accepts connections but has not been given a configuration.", "Wait for readiness (/readyz) before sending traffic."},

	NoEndpoint:           {"no_endpoint", 503, "The service has no endpoint", "UH", "The service's list of endpoints is empty, or its DNS name has no address.", "Check that instances run, and the service's endpoints."},
	ConnectRefused:       {"connect_refused", 502, "The service refused the connection", "UF", "Nothing listens on the endpoint's port.", "Start the service, or correct the port."},
	ConnectTimeout:       {"connect_timeout", 504, "Connecting to the service took too long", "UF", "No connection within the service's connect timeout.", "Check the address, firewalls and the health of the machine."},
	ConnectFailed:        {"connect_failed", 502, "The service cannot be reached", "UF", "The network refused: no route, unreachable, no local port or file descriptor.", "Check addresses and routes; see the error in the access log."},
	UpstreamTLS:          {"upstream_tls", 502, "The service's TLS is not acceptable", "UF", "The handshake with the endpoint failed: untrusted certificate, wrong name or no common version.", "Check the service's ca and serverName."},
	UpstreamReset:        {"upstream_reset", 502, "The service closed the connection", "UC", "The endpoint closed or reset the connection before its response was complete, and another try was not safe.", "Look at the service's log; if it closes idle connections early, lower the service's idle time."},
	UpstreamBadResponse:  {"upstream_bad_response", 502, "The service's response is not HTTP", "UPE", "The endpoint's bytes were not a valid HTTP/1 response.", "Check that the port speaks plain HTTP/1.1."},
	UpstreamHeadTooLarge: {"upstream_head_too_large", 502, "The service's response head is too large", "UPE", "The response head exceeds 64 KiB or 200 fields.", "Send smaller or fewer response headers."},
	UpstreamTimeout:      {"upstream_timeout", 504, "The service did not answer in time", "UT", "No response head within the rule's backend timeout.", "Look at the service; raise timeouts.backendRequest if it may take that long."},
	RequestTimeout:       {"request_timeout", 504, "The request took too long", "UT", "The rule's request timeout ended before the response was complete.", "Raise timeouts.request if it may take that long."},

	Redirected: {"redirected", 0, "Redirected by the route", "", "The route has a redirect.", "Nothing."},
	Responded:  {"responded", 0, "Answered by the route", "", "The route answers by itself.", "Nothing."},
	Preflight:  {"preflight", 0, "CORS preflight answered", "", "The route's CORS rule answered the browser's OPTIONS request.", "Nothing."},

	Draining: {"draining", 503, "The gateway is shutting down", "", "The drain time ended before the exchange did.", "Raise --drain for long requests."},
	Internal: {"internal", 500, "The gateway failed", "", "A defect in naru; a stack is in the log and the process goes on.", "Please report it."},
}
