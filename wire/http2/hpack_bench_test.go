package http2

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// discard is a sink that wants all fields and keeps none.
type discard struct{ n int }

func (d *discard) field(name, value []byte, never bool) bool {
	d.n += len(name) + len(value)
	return true
}

// Header lists as they are met.
var (
	benchRequest = []string{ // h2load
		":method", "GET", ":scheme", "http", ":authority", "127.0.0.1:8080", ":path", "/items/17?page=3",
		"user-agent", "h2load nghttp2/1.59.0",
	}
	benchGRPC = []string{
		":method", "POST", ":scheme", "http", ":path", "/helloworld.Greeter/SayHello", ":authority", "shop.example:50051",
		"content-type", "application/grpc", "user-agent", "grpc-go/1.75.0", "te", "trailers", "grpc-timeout", "9998214u",
	}
	benchBrowser = []string{
		":method", "GET", ":authority", "www.shop.example", ":scheme", "https", ":path", "/catalog/search?q=tent&sort=price",
		"cache-control", "max-age=0", "sec-ch-ua", `"Chromium";v="130", "Not?A_Brand";v="99"`, "sec-ch-ua-mobile", "?0",
		"sec-ch-ua-platform", `"Linux"`, "upgrade-insecure-requests", "1",
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
		"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
		"sec-fetch-site", "same-origin", "sec-fetch-mode", "navigate", "sec-fetch-user", "?1", "sec-fetch-dest", "document",
		"referer", "https://www.shop.example/catalog", "accept-encoding", "gzip, deflate, br, zstd",
		"accept-language", "ko-KR,ko;q=0.9,en;q=0.8", "cookie", "session=4f0c9a2e6b7d48c19e35a7f2d1b8c604; consent=all",
		"x-request-id", "0b2f9c1e-77aa-4c55-93bb-1c2d3e4f5a6b", "priority", "u=0, i",
	}
	benchResponse = []string{
		":status", "200", "Content-Type", "application/json", "Content-Length", "11", "Date", "Thu, 01 Jan 2026 00:00:00 GMT",
		"Server", "naru",
	}
)

var benchLists = []struct {
	name   string
	fields []string
}{{"h2load", benchRequest}, {"grpc", benchGRPC}, {"browser", benchBrowser}, {"response", benchResponse}}

func encodeAll(w *hpackWriter, out []byte, list []string) []byte {
	out = w.begin(out)
	for i := 0; i < len(list); i += 2 {
		out = w.fieldString(out, list[i], list[i+1], false)
	}
	return out
}

func BenchmarkHpackWrite(b *testing.B) {
	for _, l := range benchLists {
		b.Run(l.name+"/naru", func(b *testing.B) {
			var w hpackWriter
			w.init()
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out = encodeAll(&w, out[:0], l.fields)
			}
			b.ReportMetric(float64(len(out)), "wire-B")
		})
		b.Run(l.name+"/xnet", func(b *testing.B) {
			var buf bytes.Buffer
			e := hpack.NewEncoder(&buf)
			b.ReportAllocs()
			for b.Loop() {
				buf.Reset()
				for i := 0; i < len(l.fields); i += 2 {
					e.WriteField(hpack.HeaderField{Name: l.fields[i], Value: l.fields[i+1]})
				}
			}
			b.ReportMetric(float64(buf.Len()), "wire-B")
		})
	}
}

// benchBlocks is what x/net sends for a list, at first and later.
func benchBlocks(list []string) (first, later []byte) {
	var buf bytes.Buffer
	e := hpack.NewEncoder(&buf)
	for range 2 {
		first, later = later, nil
		buf.Reset()
		for i := 0; i < len(list); i += 2 {
			e.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]})
		}
		later = bytes.Clone(buf.Bytes())
	}
	return first, later
}

func BenchmarkHpackRead(b *testing.B) {
	for _, l := range benchLists {
		first, later := benchBlocks(l.fields)
		for _, c := range []struct {
			name  string
			block []byte
		}{{"new", first}, {"again", later}} {
			b.Run(l.name+"/"+c.name+"/naru", func(b *testing.B) {
				var r hpackReader
				r.init(4096)
				sink := &discard{}
				r.read(first, sink)
				b.ReportAllocs()
				for b.Loop() {
					if err := r.read(c.block, sink); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(l.name+"/"+c.name+"/xnet", func(b *testing.B) {
				n := 0
				d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { n += len(f.Name) })
				d.Write(first)
				d.Close()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Write(c.block); err != nil {
						b.Fatal(err)
					}
					d.Close()
				}
			})
		}
	}
}

func BenchmarkHuffman(b *testing.B) {
	text := []byte(benchBrowser[19])
	code := appendHuffman(nil, text)
	out := make([]byte, 0, 1024)
	b.Run("decode/naru", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			decodeHuffman(out, code)
		}
	})
	b.Run("decode/xnet", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			hpack.HuffmanDecode(io.Discard, code)
		}
	})
	b.Run("encode/naru", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			appendShort(out, text)
		}
	})
	b.Run("encode/xnet", func(b *testing.B) {
		s := string(text)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			hpack.AppendHuffmanString(out, s)
		}
	})
}
