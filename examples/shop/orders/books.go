package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	_ "modernc.org/sqlite" // the driver, in pure Go
)

// order is one that was paid.
type order struct {
	ID       int64     `json:"id"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	Cents    int       `json:"cents"`
	Receipt  string    `json:"receipt"`
	At       time.Time `json:"at"`
}

// books keep orders.
type books struct{ db *sql.DB }

var errNoOrder = errors.New("no such order")

func open(file string) (*books, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS orders (
		id INTEGER PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER NOT NULL,
		cents INTEGER NOT NULL, receipt TEXT NOT NULL, at INTEGER NOT NULL)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &books{db}, nil
}

func (b *books) close() error { return b.db.Close() }

func (b *books) add(ctx context.Context, o *order) error {
	res, err := b.db.ExecContext(ctx, `INSERT INTO orders (item, quantity, cents, receipt, at) VALUES (?, ?, ?, ?, ?)`,
		o.Item, o.Quantity, o.Cents, o.Receipt, o.At.Unix())
	if err != nil {
		return err
	}
	o.ID, err = res.LastInsertId()
	return err
}

func (b *books) get(ctx context.Context, id int64) (o order, err error) {
	err = scan(b.db.QueryRowContext(ctx, `SELECT id, item, quantity, cents, receipt, at FROM orders WHERE id = ?`, id), &o)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoOrder
	}
	return o, err
}

// latest gives the newest orders first.
func (b *books) latest(ctx context.Context, most int) ([]order, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT id, item, quantity, cents, receipt, at FROM orders ORDER BY id DESC LIMIT ?`, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []order{}
	for rows.Next() {
		var o order
		if err := scan(rows, &o); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

func scan(row interface{ Scan(...any) error }, o *order) error {
	var at int64
	err := row.Scan(&o.ID, &o.Item, &o.Quantity, &o.Cents, &o.Receipt, &at)
	o.At = time.Unix(at, 0).UTC()
	return err
}
