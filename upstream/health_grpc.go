package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/naru-mesh/naru/observe"
)

// healthMethod is grpc.health.v1's only call that a check needs. Its messages
// are one field each, so they are written and read here by hand.
const healthMethod = "/grpc.health.v1.Health/Check"

// servingNames are the values of HealthCheckResponse.ServingStatus; 1 is good.
var servingNames = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// healthRequest is HealthCheckRequest{service} as one gRPC message.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = append(m, 1<<3|2) // field 1, bytes
		m = binary.AppendUvarint(m, uint64(len(service)))
		m = append(m, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

var errNotHealth = errors.New("the answer is not that of grpc.health.v1.Health/Check")

// readHealth reads HealthCheckResponse.status.
func readHealth(b []byte) (status uint64, err error) {
	if len(b) < 5 || b[0] != 0 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-5 {
		return 0, errNotHealth
	}
	for b = b[5:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, errNotHealth
		}
		b = b[n:]
		v, n := binary.Uvarint(b)
		switch {
		case n <= 0:
			return 0, errNotHealth
		case tag == 1<<3: // field 1, varint
			status = v
		case tag&7 == 2 && v <= uint64(len(b)-n): // a field of a later version
			n += int(v)
		case tag&7 != 0:
			return 0, errNotHealth
		}
		b = b[n:]
	}
	return status, nil
}

// askGRPC is the check of kind grpc.
func (k *check) askGRPC(client *http.Client) func(context.Context) error {
	body := healthRequest(k.cfg.Service)
	target := url.URL{Scheme: k.scheme(), Host: k.host, Path: healthMethod}
	header := http.Header{
		"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {checkAgent},
		"Grpc-Timeout": {strconv.FormatInt(max(k.cfg.Timeout.Milliseconds(), 1), 10) + "m"},
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = header.Clone()
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("HTTP status %d: no gRPC server is there", res.StatusCode)
		}
		answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		if err != nil {
			return err
		}
		status := res.Trailer.Get("Grpc-Status")
		if status == "" {
			status = res.Header.Get("Grpc-Status")
		}
		code, err := strconv.Atoi(status)
		switch {
		case err != nil:
			return errNotHealth
		case code == int(observe.GRPCUnimplemented):
			return errors.New("the server has no grpc.health.v1.Health")
		case code == int(observe.GRPCNotFound):
			return fmt.Errorf("the server does not know the service %q", k.cfg.Service)
		case code != 0:
			return fmt.Errorf("gRPC status %v", observe.GRPCCode(min(max(code, 0), 255)))
		}
		is, err := readHealth(answer)
		switch {
		case err != nil:
			return err
		case is == serving:
			return nil
		case is < uint64(len(servingNames)):
			return errors.New(servingNames[is])
		}
		return fmt.Errorf("status %d", is)
	}
}
