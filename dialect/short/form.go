package short

import (
	"go.yaml.in/yaml/v3"

	"github.com/naru-mesh/naru/model"
)

// The types of this file are the short form: their json tags are its fields,
// and their doc, default, unit and enum tags are what Schema and Reference say.
// Many may be written in more than one way: schema.go lists the ways.

// form is a whole document.
type form struct {
	Listen   listens   `json:"listen" doc:"where to accept connections: one or a list" default:":8080"`
	Routes   routes    `json:"routes" doc:"what happens to which requests; the most specific match wins, not the first"`
	Services services  `json:"services" doc:"where routes lead, by name"`
	Defaults *defaults `json:"defaults" doc:"what holds for all routes and services that do not say otherwise: retry, timeout, balance and others, as they stand there"`
	Admin    text      `json:"admin" doc:"address of the admin server, or off" default:"127.0.0.1:9901"`
	Log      *logging  `json:"log" doc:"access log: off, json, text, or with a file" default:"off"`
	Limits   *limits   `json:"limits" doc:"bounds of every listener that does not say otherwise"`
	Overload *overload `json:"overload" doc:"when the proxy itself has too much to do and refuses what matters less: off, or an object" default:"bounds that a busy proxy does not reach"`
	TLS      *tlsKeys  `json:"tls" doc:"certificates of the https listeners that have none of their own: auto, local, one, or a list"`
	Mesh     *mesh     `json:"mesh" doc:"what holds for all workloads: true, or an object" default:"no mesh"`
	Policies policies  `json:"policies" doc:"who may speak to whom; a deny that matches goes before every allow"`
	_        struct{}  `also:"authorization,intentions,authorizationPolicies,rbac,acl,acls,access" hint:"who may speak to whom is policies: for example policies: [{name: only-orders, to: payments, allow: orders}]"`
	_        struct{}  `also:"port,ports,bind,address,listeners,entryPoints,server,servers" hint:"listeners stand under listen: for example listen: \":8080\""`
	_        struct{}  `also:"rules,paths,locations,handle,route,http" hint:"routes stand under routes: for example routes: [{match: /, to: web}]"`
	_        struct{}  `also:"upstreams,backends,clusters,targets,loadBalancers" hint:"services stand under services: for example services: {web: [\"10.0.0.1:9001\"]}"`
	_        struct{}  `also:"certificates,certs,ssl,cert,key" hint:"certificates stand under tls: for example tls: {cert: cert.pem, key: key.pem}"`
	_        struct{}  `also:"accessLog,logging,logs" hint:"the access log is log: off, json or text"`
	_        struct{}  `also:"to,proxyPass,reverseProxy,upstream,backend" hint:"where requests go is said at a route: routes: [{match: /, to: \"http://127.0.0.1:3000\"}]"`
	_        struct{}  `also:"timeout,timeouts,retry,retries,retryBudget,hedge,session,priority,fault,shape,balance,slowStart,locality,health,ejection,connect,idle" hint:"what holds for all routes and services stands under defaults: for example defaults: {timeout: 5s, retry: 2}"`
	_        struct{}  `also:"plugins,middlewares,filters,middleware" hint:"what happens to requests is said at each route: headers, cors, rewrite, retry, timeout"`
}

// listen is one door.
type listen struct {
	Address     text        `json:"address" doc:"\":8080\", \"127.0.0.1:8080\", \"https://:8443\"; port 443 is https by itself; \"tcp://:5432\", \"tls://:6432\", \"udp://:53\" for connections and datagrams" default:":8080"`
	Hostname    hostname    `json:"hostname" doc:"only requests for this host, or \"*.example.com\"" default:"every host"`
	TLS         *tlsKeys    `json:"tls" doc:"certificates, which make it https: auto, local, one, or a list; or true for those at the top; of tls:// too, which without them, or with passthrough, passes TLS through"`
	ClientAuth  *clientAuth `json:"clientAuth" doc:"ask clients for a certificate: file with the authorities to trust, or an object; the same for all listeners of a port" default:"they are not asked"`
	MinTLS      text        `json:"minTLS" doc:"lowest TLS version" enum:"1.2,1.3" default:"1.2"`
	TrustedHops int         `json:"trustedHops" doc:"how many proxies in front may be believed about X-Forwarded-For" default:"0"`
	Limits      *limits     `json:"limits" doc:"bounds of this listener"`
	Protocols   versions    `json:"protocols" doc:"versions of HTTP that are spoken: h1, h2, and h3 on UDP besides (https only)" default:"[h1, h2]"`
	Proxy       *introduced `json:"proxyProtocol" doc:"true: every connection begins with the PROXY protocol's header, version 1 or 2; an object: those of certain networks do" default:"false"`
	// Redirect is a rule of its own, behind the routes that name the listener.
	Redirect *redirect `json:"redirect" doc:"answer everything with another place, as at a route: https, a URL or an object; only routes that name this listener go before it"`
	_        struct{}  `also:"port,bind,host,ip" hint:"the address has the port: for example address: \":8080\""`
	_        struct{}  `also:"ssl,https,certificate,certificates" hint:"certificates are tls: {cert: cert.pem, key: key.pem}"`
	_        struct{}  `also:"clientCA,clientCa,clientCertificates,mtls,mutualTLS,clientCAFile,verifyClient" hint:"did you mean clientAuth? For example clientAuth: clients.pem"`
	_        struct{}  `also:"redirectToHttps,httpsRedirect,redirections,redirectScheme,forceHttps" hint:"write redirect: https"`
	_        struct{}  `also:"protocol,scheme" hint:"the scheme stands before the address: for example address: \"https://:8443\""`
	_        struct{}  `also:"hostnames,serverName,host_name,domain" hint:"did you mean hostname? (one for each listener; routes have hosts in their match)"`

	origin model.Origin
	broken bool
	name   string // of the noun; where it stands when the address is broken
	host   string
	port   uint16
	https  bool
	scheme model.Protocol // tcp, tls or udp; "" where requests come
}

// clientAuth is how clients' certificates are checked.
type clientAuth struct {
	CA       text     `json:"ca" doc:"file with the authorities of clients as PEM, or the PEM itself; the file is read again when it changes"`
	Optional bool     `json:"optional" doc:"let clients in that have no certificate, or not a valid one" default:"false"`
	Forward  bool     `json:"forward" doc:"tell services of the certificate by X-Forwarded-Client-Cert" default:"false"`
	_        struct{} `also:"caFile,cas,roots,clientCA,authorities,trust" hint:"did you mean ca?"`
	_        struct{} `also:"mode,required,require,type" hint:"a certificate is needed unless optional: true"`

	off bool // clientAuth: false
}

// introduced says who introduces connections by the PROXY protocol.
type introduced struct {
	From words    `json:"from" doc:"networks of the load balancers in front, such as 10.0.0.0/8: one or a list; others are served as they are" default:"every network"`
	_    struct{} `also:"trusted,trustedIPs,allow,networks,cidrs" hint:"did you mean from?"`

	off bool // proxyProtocol: false
}

// keyPair is one certificate.
type keyPair struct {
	Cert text     `json:"cert" doc:"file with the certificate chain as PEM, seen from the configuration's folder, or the PEM itself"`
	Key  text     `json:"key" doc:"file with the private key as PEM, or the PEM itself"`
	_    struct{} `also:"clientAuth,ca,clientCA" hint:"who clients must be stands beside tls: for example {tls: auto, clientAuth: clients.pem}"`

	origin model.Origin
}

// issuance is where certificates come from that nobody has to bring.
type issuance struct {
	Auto  *auto    `json:"auto" doc:"from a public authority, Let's Encrypt where nothing else is said: true, or an object"`
	Local *localCA `json:"local" doc:"from this machine, for developing: true, or an object"`

	broken bool // no certificates are got by half of a rule
}

// auto gets certificates from an authority that speaks ACME.
type auto struct {
	Names           hostnames `json:"names" doc:"hosts to have certificates for: one or a list" default:"the listener's hostname, and the hosts of its routes"`
	Email           text      `json:"email" doc:"address that the authority may write to" default:"none"`
	Directory       text      `json:"directory" doc:"URL of another authority's ACME directory" default:"Let's Encrypt's"`
	DirectoryCAFile text      `json:"directoryCAFile" doc:"file with the roots that the directory's own certificate is checked with, as PEM" default:"those of the system"`
	Storage         text      `json:"storage" doc:"folder to keep accounts, keys and certificates in" default:"naru/acme in the user's data folder"`
	OnDemand        hostnames `json:"onDemand" doc:"hosts, \"*.example.com\" too, that get their certificate when a client first asks for them: one or a list" default:"none"`
	Ask             text      `json:"ask" doc:"URL that is asked, with ?domain=HOST, whether a host may have a certificate on demand: 200 is yes; after onDemand, where both are there" default:"nobody"`
	_               struct{}  `also:"domains,domain,hosts,host,hostnames,name" hint:"did you mean names?"`
	_               struct{}  `also:"ca,server,url,caServer,acmeCA,provider" hint:"did you mean directory?"`
	_               struct{}  `also:"on_demand,allow,allowed,patterns,hostPolicy" hint:"did you mean onDemand?"`
	_               struct{}  `also:"cache,folder,path,dir,store" hint:"did you mean storage?"`
	_               struct{}  `also:"dns,dns01,dnsChallenge,challenge,challenges" hint:"names are proved by HTTP-01 or TLS-ALPN-01, whichever works; DNS-01 is not supported"`
}

// localCA gets certificates from an authority of this machine.
type localCA struct {
	Names   hostnames `json:"names" doc:"hosts to have certificates for, besides localhost: one or a list" default:"the listener's hostname, and the hosts of its routes"`
	Storage text      `json:"storage" doc:"folder to keep the roots in" default:"naru/local in the user's data folder"`
}

// limits bound what one listener accepts.
type limits struct {
	HeadBytes   *byteSize `json:"headBytes" doc:"request line and header fields together; 431 beyond" default:"32KiB" unit:"bytes"`
	Fields      *count    `json:"fields" doc:"number of header fields; 431 beyond" default:"100"`
	URIBytes    *byteSize `json:"uriBytes" doc:"request target; 414 beyond" default:"8KiB" unit:"bytes"`
	BodyBytes   *byteSize `json:"bodyBytes" doc:"request body; 413 beyond" default:"off" unit:"bytes"`
	Connections *count    `json:"connections" doc:"connections open at once; 503 beyond" default:"100000"`
	Requests    *count    `json:"requests" doc:"requests on one connection" default:"off"`
	Idle        *span     `json:"idle" doc:"connection kept open without a request" default:"75s" unit:"duration"`
	Head        *span     `json:"head" doc:"until the head of a request is complete; 408 beyond" default:"15s" unit:"duration"`
	Body        *span     `json:"body" doc:"between two pieces of a request body; 408 beyond" default:"30s" unit:"duration"`
	Write       *span     `json:"write" doc:"a client takes nothing of its response" default:"30s" unit:"duration"`
	Handshake   *span     `json:"handshake" doc:"TLS handshake" default:"10s" unit:"duration"`
	Age         *span     `json:"age" doc:"of a connection, which then ends with the requests that run on it; none is cut off" default:"off" unit:"duration"`

	wrong int // mistakes in it
}

// logging is the access log.
type logging struct {
	Format text `json:"format" doc:"how a line is written" enum:"off,json,text" default:"off; json where there is a file"`
	File   text `json:"file" doc:"file to write to" default:"standard output"`
}

// route is one rule.
type route struct {
	Name      text          `json:"name" doc:"name in metrics and logs" default:"routes/ and its number from 0"`
	Listen    words         `json:"listen" doc:"only behind these listeners, by their address as written under listen: one or a list" default:"all"`
	Match     matches       `json:"match" doc:"which requests: \"METHOD host/path\", an object, or a list of these; or which connections: \"tcp://:5432\", \"tls://db.example.com:6432\", \"udp://:53\"" default:"/"`
	To        *destinations `json:"to" doc:"where they go: a service, a URL, or several with weights"`
	Redirect  *redirect     `json:"redirect" doc:"answer with another place: https, a URL, a path, or an object"`
	Respond   *respond      `json:"respond" doc:"answer at once: a status, a status and a text, or an object"`
	Rewrite   *rewrite      `json:"rewrite" doc:"what the service sees: a path or an object"`
	Headers   *headers      `json:"headers" doc:"changes of header fields"`
	CORS      *cors         `json:"cors" doc:"which pages of other origins may call: true, an origin, a list, or an object"`
	Mirror    mirrors       `json:"mirror" doc:"where a copy goes, whose answer nobody sees: a service, a URL, an object, or a list"`
	Timeout   *timeouts     `json:"timeout" doc:"for the whole request, or an object" unit:"duration"`
	Retry     *retry        `json:"retry" doc:"how many further tries, off, or an object" default:"one more, on another endpoint, where it is safe"`
	Session   text          `json:"session" doc:"a client stays with the endpoint that served it first: cookie, header, cookie NAME, header NAME, or off" default:"each request is balanced"`
	Priority  text          `json:"priority" doc:"which requests, or connections, are refused first, and which last, where a service has limits or naru has too much to do" enum:"low,normal,critical" default:"normal"`
	Hedge     *hedge        `json:"hedge" doc:"a second try on another endpoint when the first takes so long: a time, or p95 for what 95% of the answers take" default:"off"`
	GRPC      *calls        `json:"grpc" doc:"of gRPC calls: web lets pages call (gRPC-Web), metrics counts them by method; one or both"`
	Transcode *transcode    `json:"transcode" doc:"clients call a gRPC service with JSON: a descriptor file, or an object"`
	Fault     *fault        `json:"fault" doc:"makes some requests slow, or fail, to see what happens then"`
	Rollout   *rollout      `json:"rollout" doc:"moves the requests to a new version in steps, and back by itself when that does badly: a service or a URL, or an object"`
	Shape     *shape        `json:"shape" doc:"requests are delayed to a steady rate, bodies pass at a rate: 20/s, or an object" default:"as fast as they come"`
	Auth      *later        `json:"auth" doc:"who may call; not in this version"`
	Limit     *later        `json:"limit" doc:"how often; not in this version"`
	Cache     *later        `json:"cache" doc:"how long answers are kept; not in this version"`
	_         struct{}      `also:"path,paths,pathPrefix,prefix,uri,location,from" hint:"the path stands in the match: for example match: /orders"`
	_         struct{}      `also:"host,hosts,hostname,hostnames,domain,domains" hint:"the host stands in the match: for example match: api.example.com/orders"`
	_         struct{}      `also:"method,methods" hint:"the method stands in the match: for example match: GET /orders"`
	_         struct{}      `also:"query,queryParams,cookies,when,rule,conditions,predicates" hint:"conditions stand in the match: for example match: {path: /orders, headers: {x-beta: \"1\"}, query: {v: \"2\"}}"`
	_         struct{}      `also:"service,services,backend,backends,backendRef,backendRefs,upstream,upstreams,url,target,targets,proxyPass,proxy,forward,forwardTo,destination,destinations,cluster,servers,endpoint,endpoints" hint:"where requests go is to: for example to: orders, or to: \"http://127.0.0.1:9001\""`
	_         struct{}      `also:"weight,weights,weighted,split,trafficSplit" hint:"weights stand under to: for example to: {orders: 90, orders-next: 10}"`
	_         struct{}      `also:"canary,progressive,progressiveDelivery,strategy" hint:"a new version is led to step by step with rollout: for example rollout: orders-next"`
	_         struct{}      `also:"retries,retryPolicy,retryOn,attempts,numRetries" hint:"retries are retry: for example retry: 2"`
	_         struct{}      `also:"timeoutMs,timeouts,timeoutSeconds,readTimeout,writeTimeout,requestTimeout,responseTimeout,proxyReadTimeout,connectTimeout" hint:"time-outs are timeout, with a unit: for example timeout: 3s, or timeout: {backend: 3s}; a service has connect: 5s"`
	_         struct{}      `also:"stripPrefix,stripPath,stripPathPrefix,rewriteTarget,replacePath,rewritePath,prefixRewrite,rewriteUri,trimPrefix,addPrefix,pathRewrite" hint:"paths are changed with rewrite: for example match: /api and rewrite: / takes /api away"`
	_         struct{}      `also:"hostRewrite,preserveHost,passHostHeader,hostHeader" hint:"the Host that a service sees is rewrite: {host: internal.example.com}; without it that of the request"`
	_         struct{}      `also:"setHeaders,addHeaders,requestHeaders,responseHeaders,headersRequest,requestTransformer,responseTransformer,header" hint:"header fields are changed with headers: for example headers: {request: {set: {x-name: value}}}"`
	_         struct{}      `also:"response,return,status,staticResponse,directResponse,fixedResponse" hint:"naru answers by itself with respond: for example respond: 200 hello"`
	_         struct{}      `also:"redirectTo,redirectScheme,httpsRedirect,redirectHttps,forceHttps" hint:"redirects are redirect: https, a URL or a path"`
	_         struct{}      `also:"faults,faultInjection,chaos,delay,abort" hint:"faults are fault: for example fault: {delay: 2s, delayPercent: 10}"`
	_         struct{}      `also:"mirroring,shadow,trafficMirror,requestMirror" hint:"copies are mirror: for example mirror: orders-next"`
	_         struct{}      `also:"crossOrigin,corsPolicy" hint:"did you mean cors?"`
	_         struct{}      `also:"grpcWeb,grpcweb" hint:"write grpc: web"`
	_         struct{}      `also:"grpcJson,grpcTranscode,grpcJsonTranscoder,transcoding,grpcGateway" hint:"did you mean transcode? For example transcode: {descriptors: shop.pb}"`
	_         struct{}      `also:"rateLimit,rateLimiting,ratelimit,limits,throttle" hint:"how often a route may be called can not be bounded in this version; sizes and connections are bounded by limits at the top or at a listener"`
	_         struct{}      `also:"healthCheck,health,loadBalancing,balance,lbPolicy,circuitBreaker" hint:"health and balance are said at a service: services: {orders: {endpoints: [\"10.0.0.1:9002\"], health: /healthz}}"`
	_         struct{}      `also:"listener,listeners,entryPoints,entryPoint,gateway,port,ports" hint:"did you mean listen? It names listeners by their address"`
	_         struct{}      `also:"tls,ssl,certificate" hint:"certificates stand at the top or at a listener: tls: {cert: cert.pem, key: key.pem}"`
	_         struct{}      `also:"id,label" hint:"did you mean name?"`
	_         struct{}      `also:"plugins,middlewares,filters,middleware" hint:"each has a field of its own here: headers, cors, rewrite, retry, timeout, mirror"`
	_         struct{}      `also:"websocket,websockets,upgrade" hint:"upgrades pass through by themselves: leave it out"`
	_         struct{}      `also:"priority,order" hint:"the most specific match wins; leave it out"`

	origin model.Origin
	broken bool
}

// match is the long way to say which requests.
type match struct {
	Method  words      `json:"method" doc:"one or a list" default:"every method"`
	Host    words      `json:"host" doc:"exact or \"*.example.com\": one or a list" default:"every host"`
	Path    text       `json:"path" doc:"a prefix by segment, a template \"/orders/{id}\", \"=/exact\" or \"~regex\"" default:"every path"`
	Exact   text       `json:"exact" doc:"the whole path"`
	Regex   text       `json:"regex" doc:"the whole path, as RE2"`
	Headers conditions `json:"headers" doc:"all must hold: a value, \"~regex\", \"*\" for any value, or an object"`
	Query   conditions `json:"query" doc:"query parameters, as headers"`
	Cookies conditions `json:"cookies" doc:"cookies, as headers"`
	_       struct{}   `also:"prefix,pathPrefix,uri,url" hint:"a path is a prefix already: path: /orders"`
	_       struct{}   `also:"methods" hint:"did you mean method? It may be a list"`
	_       struct{}   `also:"hosts,hostname,hostnames,domain,authority" hint:"did you mean host? It may be a list"`
	_       struct{}   `also:"header" hint:"did you mean headers?"`
	_       struct{}   `also:"queryParams,queries,params" hint:"did you mean query?"`
	_       struct{}   `also:"cookie" hint:"did you mean cookies?"`
	_       struct{}   `also:"template" hint:"a template is a path: path: \"/orders/{id}\""`
	_       struct{}   `also:"pathRegex,regexp" hint:"did you mean regex?"`
}

// condition is the long way to compare a value.
type condition struct {
	Exact   *text `json:"exact" doc:"this value"`
	Regex   text  `json:"regex" doc:"the whole value, as RE2"`
	Present *bool `json:"present" doc:"true: any value; false: not there"`
}

// destination is one of several.
type destination struct {
	To     text `json:"to" doc:"a service or a URL"`
	Weight *int `json:"weight" doc:"share of the requests, relative to the others" default:"1"`

	at *yaml.Node
}

// redirect answers with a Location.
type redirect struct {
	Scheme text     `json:"scheme" doc:"scheme" enum:"http,https" default:"as the request"`
	Host   text     `json:"host" doc:"host name" default:"as the request"`
	Port   int      `json:"port" doc:"port" default:"that of the scheme, else of the listener"`
	Path   *text    `json:"path" doc:"the whole path" default:"as the request"`
	Prefix *text    `json:"prefix" doc:"in place of the matched prefix"`
	Status int      `json:"status" doc:"301, 302, 303, 307 or 308" default:"302; 301 for redirect: https"`
	_      struct{} `also:"code,statusCode,permanent" hint:"did you mean status? For example status: 301"`
	_      struct{} `also:"url,to,location,target" hint:"a URL stands by itself: redirect: https://new.example.com/shop"`
	_      struct{} `also:"hostname" hint:"did you mean host?"`
}

// respond answers without a service.
type respond struct {
	Status  int      `json:"status" doc:"status code" default:"200"`
	Body    text     `json:"body" doc:"text of the answer" default:"empty"`
	Headers pairs    `json:"headers" doc:"header fields" default:"content-type: text/plain; charset=utf-8 where there is a body"`
	_       struct{} `also:"code,statusCode" hint:"did you mean status?"`
	_       struct{} `also:"text,content,message" hint:"did you mean body?"`
}

// rewrite changes what the service sees.
type rewrite struct {
	Path   *text `json:"path" doc:"the whole path; may name {captures} of the match"`
	Prefix *text `json:"prefix" doc:"in place of the matched prefix"`
	Host   text  `json:"host" doc:"host name" default:"that of the request"`

	auto *text // a path written alone: the matches say which of the two it is
}

// headers are changes of header fields.
type headers struct {
	Request  *edit `json:"request" doc:"before the service sees them"`
	Response *edit `json:"response" doc:"before the client sees them"`
}

// edit changes header fields: set, then add, then remove.
type edit struct {
	Set    pairs `json:"set" doc:"replace the field"`
	Add    pairs `json:"add" doc:"a further line of the field"`
	Remove words `json:"remove" doc:"remove the field: one or a list"`
}

// cors says which pages of other origins may call.
type cors struct {
	Origins     words `json:"origins" doc:"\"*\", \"https://shop.example\" or \"https://*.example.com\": one or a list" default:"*"`
	Methods     words `json:"methods" doc:"one or a list" default:"*"`
	Headers     words `json:"headers" doc:"request headers that pages may send: one or a list" default:"*"`
	Expose      words `json:"expose" doc:"response headers that pages may read: one or a list"`
	Credentials bool  `json:"credentials" doc:"cookies may be sent" default:"false"`
	MaxAge      *span `json:"maxAge" doc:"how long a browser remembers" default:"5s" unit:"duration"`

	off bool // cors: false
}

// mirror sends a copy elsewhere.
type mirror struct {
	To      text        `json:"to" doc:"a service or a URL"`
	Percent *percentage `json:"percent" doc:"share of the requests" default:"100" unit:"%"`

	at *yaml.Node
}

// timeouts of one route.
type timeouts struct {
	Request *span    `json:"request" doc:"the whole exchange, with all tries" default:"off" unit:"duration"`
	Backend *span    `json:"backend" doc:"one try, until the head of its response" default:"60s, or the request's time where that is longer" unit:"duration"`
	Idle    *span    `json:"idle" doc:"nothing passes: of a response after its head, of what is upgraded, or of a connection (tcp, tls, udp); it is cut off then" default:"5m; 1h for gRPC, what is upgraded, tcp and tls; 60s for udp" unit:"duration"`
	Stream  *span    `json:"stream" doc:"a response after its head, and what is upgraded, as a whole" default:"off" unit:"duration"`
	_       struct{} `also:"total,overall,read,response,requestMs,client" hint:"did you mean request? For example timeout: {request: 10s}"`
	_       struct{} `also:"try,perTry,upstream,service,backendRequest" hint:"did you mean backend? For example timeout: {backend: 3s}"`
	_       struct{} `also:"connect" hint:"a connection is bounded at the service: connect: 5s"`
}

// service is where routes lead.
type service struct {
	Endpoints endpoints `json:"endpoints" doc:"\"host:port\", one or a list; every address of a DNS name is an endpoint"`
	Balance   text      `json:"balance" doc:"how endpoints share the requests" enum:"peak-ewma,round-robin,least-request,random,ring-hash,maglev" default:"peak-ewma"`
	Hash      words     `json:"hash" doc:"what ring-hash and maglev go by: header NAME, cookie NAME, query NAME, source (the client's address) or cel EXPRESSION, one or a list of which the first that a request has counts" default:"required there"`
	SlowStart *span     `json:"slowStart" doc:"an endpoint that arrives or comes back gets its full share after this time, at first a tenth" default:"at once" unit:"duration"`
	Protocol  text      `json:"protocol" doc:"HTTP version that the endpoints speak; gRPC needs http2, auto asks a TLS endpoint" enum:"http1,http2,auto" default:"http1"`
	Locality  *locality `json:"locality" doc:"which endpoints go first: those of the own zone or region, or none; or an object" default:"zone"`
	Health    *health   `json:"health" doc:"path to ask each endpoint for, grpc, tcp, tls, or an object" default:"no checks"`
	Ejection  *ejection `json:"ejection" doc:"off, or an object: how endpoints that fail are found and spared" default:"on, with defaults"`
	TLS       *trust    `json:"tls" doc:"true, or an object: speak TLS" default:"false"`
	Connect   *span     `json:"connect" doc:"until a connection can be used, TLS included" default:"5s" unit:"duration"`
	Idle      *span     `json:"idle" doc:"unused connections are kept" default:"30s" unit:"duration"`
	Limits    *bounds   `json:"limits" doc:"what may run on it at once: a number of requests, adaptive, or an object" default:"bulkheads: connections and pending"`
	MaxIdle   int       `json:"maxIdle" doc:"unused connections kept per endpoint and core" default:"1024"`
	Streams   int       `json:"maxStreams" doc:"requests at once on one HTTP/2 connection" default:"100"`
	Host      text      `json:"host" doc:"Host header that the service sees" default:"that of the request"`
	Proxy     text      `json:"proxyProtocol" doc:"tell the service by the PROXY protocol who the client of a tcp or tls route is" enum:"v1,v2" default:"no header"`
	Budget    *budget   `json:"retryBudget" doc:"bounds the tries after the first of all requests to the service: a share of the requests in percent, or an object" default:"20"`
	Timeout   *timeouts `json:"timeout" doc:"of requests to it, where their route does not say: for the whole request, or an object" unit:"duration"`
	Retry     *retry    `json:"retry" doc:"likewise: how many further tries, off, or an object"`
	Hedge     *hedge    `json:"hedge" doc:"likewise: a second try on another endpoint when the first takes so long"`
	Session   text      `json:"session" doc:"likewise: a client stays with the endpoint that served it first, or off"`
	Priority  text      `json:"priority" doc:"likewise: which requests, or connections, are refused first, and which last" enum:"low,normal,critical"`
	Mesh      *member   `json:"mesh" doc:"a service of the mesh, whose endpoints are workloads: the port that clients call, or an object" default:"not of the mesh"`

	HashBalanceFactor int      `json:"hashBalanceFactor" doc:"what an endpoint gets by keys at most, of its share of the requests that run, 101 to 1000; a key whose endpoint has more goes to the next of its own" default:"no bound" unit:"%"`
	SubsetSize        int      `json:"subsetSize" doc:"how many endpoints of each priority and zone a proxy uses, of those that are well; each proxy has others" default:"all"`
	_                 struct{} `also:"subset,subsets,subsetting,aperture" hint:"did you mean subsetSize? For example subsetSize: 100"`
	_                 struct{} `also:"balanceFactor,hashFactor,boundedLoad,boundedLoads" hint:"did you mean hashBalanceFactor? For example hashBalanceFactor: 125"`

	_ struct{} `also:"url,urls,uri,servers,server,targets,target,upstreams,nodes,addresses,address,hosts,instances,backends,backend,port,to" hint:"where a service runs is endpoints: for example endpoints: [\"10.0.0.1:9002\"]"`
	_ struct{} `also:"outlier,outlierDetection,passiveHealth,passiveHealthCheck,circuitBreaker,breaker,maxFails" hint:"endpoints that fail are spared by themselves; how is ejection: for example ejection: {failures: 3}, or ejection: off"`
	_ struct{} `also:"healthCheck,healthChecks,check,probe,activeHealthCheck" hint:"health checks are health: for example health: /healthz"`
	_ struct{} `also:"lb,loadBalancer,loadBalancing,algorithm,strategy,lbPolicy,policy,method" hint:"did you mean balance? For example balance: least-request"`
	_ struct{} `also:"retries,attempts" hint:"did you mean retry? For example retry: 2"`
	_ struct{} `also:"timeouts,timeoutMs,readTimeout,requestTimeout,responseTimeout" hint:"an answer is bounded by timeout: 3s, a connection by connect: 5s"`
	_ struct{} `also:"connectTimeout,connectionTimeout,dialTimeout" hint:"did you mean connect? For example connect: 5s"`
	_ struct{} `also:"scheme,ssl,https" hint:"a service that speaks TLS has tls: true"`
	_ struct{} `also:"keepalive,idleTimeout,keepAliveTimeout" hint:"did you mean idle? For example idle: 30s"`
	_ struct{} `also:"maxIdleConnections,maxIdleConnsPerHost,poolSize" hint:"did you mean maxIdle?"`
	_ struct{} `also:"path,paths,rewrite,stripPrefix" hint:"a service has no path: say rewrite: /v1 at the route"`
	_ struct{} `also:"hostHeader,passHostHeader,preserveHost,hostRewrite" hint:"did you mean host?"`
	_ struct{} `also:"weight,weights" hint:"weights stand at endpoints ({address: \"10.0.0.1:9002\", weight: 2}) or at a route (to: {a: 90, b: 10})"`
	_ struct{} `also:"panic,panicThreshold,zone,zones,zoneAware,localityLbSetting,topology,failover,topologyMode,minEndpoints,overprovisioning" hint:"this stands under locality: for example locality: {prefer: zone, panic: 50}; zone and priority stand at endpoints"`
	_ struct{} `also:"http2,h2,h2c,grpc,httpVersion,appProtocol" hint:"a service that speaks HTTP/2, as gRPC does, has protocol: http2"`
	_ struct{} `also:"ca,serverName,insecure,certificate,cert,key" hint:"this stands under tls: for example tls: {ca: ca.pem}"`

	name   string
	origin model.Origin
	fields []model.FieldOrigin // where they stand
	broken bool
	codes  []code // of hash
}

// endpoint is one instance.
type endpoint struct {
	Address  text     `json:"address" doc:"\"host:port\""`
	Weight   int      `json:"weight" doc:"share, relative to the others" default:"1"`
	Priority int      `json:"priority" doc:"0 to 15: those of the smallest go first, the next get what these cannot carry" default:"0"`
	Zone     text     `json:"zone" doc:"where it is: eu-central-1a, or with the region eu-central/eu-central-1a" default:"not known"`
	Network  text     `json:"network" doc:"set of machines that reach each other by their addresses; others go last" default:"not known"`
	_        struct{} `also:"backup,standby,order" hint:"those that are used only when others cannot carry the load have priority: 1"`
	_        struct{} `also:"region,locality,availabilityZone,az,datacenter,dc" hint:"the region stands before the zone: for example zone: eu-central/eu-central-1a"`
	_        struct{} `also:"host,ip,port,url,target,server" hint:"an endpoint is an address with its port: for example address: \"10.0.0.1:9002\""`

	noun *model.Endpoint
}

// ejection spares endpoints that fail.
type ejection struct {
	Failures    text     `json:"failures" doc:"failed requests in a row, or off" default:"5"`
	Connects    text     `json:"connects" doc:"failed connections in a row, or off" default:"5"`
	SuccessRate text     `json:"successRate" doc:"percentage of requests within 10s that must succeed, or off" default:"80%"`
	Deviation   text     `json:"deviation" doc:"standard deviations that the success rate may be below the mean of the other endpoints, or off" default:"1.9"`
	Slowness    text     `json:"slowness" doc:"how many times the median latency of the other endpoints that of one may be, or off" default:"3"`
	MaxEjected  text     `json:"maxEjected" doc:"percentage of endpoints at which no more are ejected" default:"50%"`
	Backoff     *span    `json:"backoff" doc:"until a request probes an ejected endpoint; it doubles" default:"1s" unit:"duration"`
	MaxBackoff  *span    `json:"maxBackoff" doc:"most that it doubles to" default:"60s" unit:"duration"`
	_           struct{} `also:"consecutive,consecutiveErrors,consecutive5xxErrors,consecutiveGatewayErrors,maxFails,errors" hint:"did you mean failures?"`
	_           struct{} `also:"baseEjectionTime,ejectionTime,failTimeout,timeout,duration" hint:"did you mean backoff? It doubles with each failed probe"`
	_           struct{} `also:"maxEjectionPercent,max,percent" hint:"did you mean maxEjected?"`
	_           struct{} `also:"interval,window" hint:"requests of the last 10s count; there is no interval to set"`

	noun model.Ejection
}

// health asks each endpoint and believes the answer.
type health struct {
	Path      text     `json:"path" doc:"path to ask for" default:"/"`
	GRPC      *asked   `json:"grpc" doc:"ask by grpc.health.v1: true for the server, or one of its services"`
	TCP       bool     `json:"tcp" doc:"only connect" default:"false"`
	TLS       bool     `json:"tls" doc:"only connect and shake hands, as the service's tls says" default:"false"`
	Host      text     `json:"host" doc:"Host header" default:"the service's host, or the endpoint"`
	Interval  *span    `json:"interval" doc:"between two checks" default:"5s" unit:"duration"`
	Timeout   *span    `json:"timeout" doc:"for an answer" default:"2s" unit:"duration"`
	Healthy   int      `json:"healthy" doc:"good answers in a row until it serves" default:"2"`
	Unhealthy int      `json:"unhealthy" doc:"bad answers in a row until it does not" default:"3"`
	Status    text     `json:"status" doc:"good statuses: one, or a range" default:"200-399"`
	_         struct{} `also:"uri,url" hint:"did you mean path?"`
	_         struct{} `also:"healthyThreshold,rise,successes" hint:"did you mean healthy?"`
	_         struct{} `also:"unhealthyThreshold,fall,failures,maxFails" hint:"did you mean unhealthy?"`
	_         struct{} `also:"codes,statuses,expect,expectedStatuses" hint:"did you mean status? For example status: 200-299"`

	low, high int // of Status
	off       bool
}

// trust is how a service's certificate is checked.
type trust struct {
	CA         text     `json:"ca" doc:"file with the roots to trust as PEM, or the PEM itself" default:"those of the system"`
	ServerName text     `json:"serverName" doc:"name that the certificate must have" default:"the endpoint's host"`
	Names      words    `json:"names" doc:"names of which the certificate must have one, DNS names or URIs such as spiffe://example.org/orders: one or a list; serverName is sent all the same" default:"serverName"`
	Cert       text     `json:"cert" doc:"file with the certificate chain that is shown to a service that asks, as PEM, or the PEM itself" default:"none"`
	Key        text     `json:"key" doc:"file with its private key as PEM, or the PEM itself"`
	Insecure   bool     `json:"insecure" doc:"accept any certificate" default:"false"`
	_          struct{} `also:"subjectAltNames,sans,san,altNames" hint:"did you mean names?"`
	_          struct{} `also:"clientCert,certificate,clientCertificate,certFile" hint:"did you mean cert? For example {cert: client.pem, key: client.key}"`

	origin model.Origin
	off    bool // tls: false
}
