package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/naru-mesh/naru/examples/shop/service"
)

// shop answers for orders.
type shop struct {
	books             *books
	catalog, payments string // URLs
}

// asking bounds each question to another service.
const asking = 3 * time.Second

// refused is a service's answer that is not a success.
type refused struct {
	status int
	text   string
}

func (r refused) Error() string { return r.text }

func (s *shop) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Item     string `json:"item"`
		Quantity int    `json:"quantity"`
	}
	if err := service.Read(w, r, &in); err != nil {
		service.Fail(w, 400, err.Error())
		return
	}
	if in.Quantity < 1 || in.Quantity > 1000 {
		service.Fail(w, 400, "quantity must be from 1 to 1000")
		return
	}
	o := order{Item: in.Item, Quantity: in.Quantity, At: time.Now().UTC()}
	err := s.pay(r.Context(), &o)
	if err == nil {
		err = s.books.add(r.Context(), &o)
	}
	var no refused
	switch {
	case errors.As(err, &no) && no.status < 500:
		service.Fail(w, no.status, no.text)
	case err != nil:
		log.Print("order failed: ", err)
		service.Fail(w, 502, "a service that orders needs did not answer")
	default:
		w.Header().Set("Location", fmt.Sprintf("/orders/%d", o.ID))
		service.Reply(w, 201, o)
	}
}

// pay asks for the price and charges it.
func (s *shop) pay(ctx context.Context, o *order) error {
	var item struct {
		Cents int `json:"cents"`
	}
	if err := ask(ctx, "GET", s.catalog+"/items/"+url.PathEscape(o.Item), nil, &item); err != nil {
		return err
	}
	o.Cents = item.Cents * o.Quantity
	var receipt struct {
		ID string `json:"id"`
	}
	if err := ask(ctx, "POST", s.payments+"/charges", map[string]any{"order": o.Item, "cents": o.Cents}, &receipt); err != nil {
		return err
	}
	o.Receipt = receipt.ID
	return nil
}

// ask calls another service and decodes its answer.
func ask(ctx context.Context, method, url string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		var f service.Fault
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
			f.Error = resp.Status
		}
		return refused{resp.StatusCode, f.Error}
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

func (s *shop) list(w http.ResponseWriter, r *http.Request) {
	all, err := s.books.latest(r.Context(), 50)
	if err != nil {
		service.Fail(w, 500, err.Error())
		return
	}
	service.Reply(w, 200, all)
}

func (s *shop) show(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		service.Fail(w, 404, "no such order")
		return
	}
	o, err := s.books.get(r.Context(), id)
	switch {
	case errors.Is(err, errNoOrder):
		service.Fail(w, 404, err.Error())
	case err != nil:
		service.Fail(w, 500, err.Error())
	default:
		service.Reply(w, 200, o)
	}
}
