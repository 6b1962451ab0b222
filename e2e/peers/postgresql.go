package main

// PostgreSQL, one server: rows with the bytes of a signed transaction. The client verifies the signature before it
// inserts, as each validator does; nobody else does here.

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// What is asked of the server, so that a figure does not depend on what somebody set elsewhere.
var durable = map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

func postgresql(ctx context.Context, t task) error {
	fmt.Fprintln(os.Stderr, "  signing ...")
	made := sign(t.bytes)
	version, err := postgresqlPrepare(ctx, t.at[0])
	if err != nil {
		return err
	}
	var next, acknowledged atomic.Int64
	measure := func(what string, clients, each int, insert string) error {
		if !t.wanted(what) {
			return nil
		}
		requests := make([]request, clients)
		for index := range requests {
			connection, err := pgx.Connect(ctx, t.at[0])
			if err != nil {
				return err
			}
			defer connection.Close(context.Background())
			requests[index] = func(ctx context.Context) (int, error) {
				batch := make([]signed, each)
				for at := range batch {
					batch[at] = made[next.Add(1)%bodies]
				}
				if !verified(batch) {
					return 0, errors.New("a signature does not hold")
				}
				if err := insertRows(ctx, connection, insert, batch); err != nil {
					return 0, err
				}
				acknowledged.Add(int64(each))
				return each, nil
			}
		}
		found, err := loop(ctx, t.window, requests)
		if err != nil {
			return err
		}
		l := found.line(t.window)
		l.Peer, l.What, l.Clients, l.Version = "postgresql", what, clients, version
		l.Note = "one server; the client verifies each signature first"
		return t.say(l)
	}
	err = measure("durable inserts, one row a transaction", 64, 1, "INSERT INTO transactions VALUES ($1, $2, $3, $4)")
	if err != nil {
		return err
	}
	err = measure("durable inserts, 100 rows a transaction", 8, 100,
		"INSERT INTO transactions SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[])")
	if err != nil {
		return err
	}
	return postgresqlHas(ctx, t.at[0], acknowledged.Load())
}

// verified checks them together where there are several, which costs half.
func verified(batch []signed) bool {
	if len(batch) == 1 {
		return ed25519.Verify(batch[0].key, batch[0].body, batch[0].signature)
	}
	verifier := ed25519.NewBatchVerifierWithCapacity(len(batch))
	for _, one := range batch {
		verifier.Add(one.key, one.body, one.signature)
	}
	return verifier.VerifyBatchOnly(rand.Reader)
}

// insertRows is one statement, and so one transaction. A row's name is a hash, as a transaction's is; of its body
// and a fresh key, because bodies come again.
func insertRows(ctx context.Context, connection *pgx.Conn, insert string, batch []signed) error {
	names := make([][]byte, len(batch))
	keys := make([][]byte, len(batch))
	signatures := make([][]byte, len(batch))
	rows := make([][]byte, len(batch))
	for at, one := range batch {
		hash := sha256.New()
		hash.Write([]byte(key()))
		hash.Write(one.body)
		names[at], keys[at], signatures[at], rows[at] = hash.Sum(nil), one.key, one.signature, one.body
	}
	var err error
	if len(batch) == 1 {
		_, err = connection.Exec(ctx, insert, names[0], keys[0], signatures[0], rows[0])
	} else {
		_, err = connection.Exec(ctx, insert, names, keys, signatures, rows)
	}
	return err
}

func postgresqlPrepare(ctx context.Context, url string) (version string, err error) {
	var connection *pgx.Conn
	err = eventually(ctx, func(ctx context.Context) (err error) {
		connection, err = pgx.Connect(ctx, url)
		return err
	})
	if err != nil {
		return "", err
	}
	defer connection.Close(ctx)
	for name, wanted := range durable {
		var is string
		if err := connection.QueryRow(ctx, "SHOW "+name).Scan(&is); err != nil {
			return "", err
		}
		if is != wanted {
			return "", fmt.Errorf("%s is %s; %s is what is compared with", name, is, wanted)
		}
	}
	_, err = connection.Exec(ctx, "CREATE TABLE transactions (id bytea PRIMARY KEY, key bytea NOT NULL, signature bytea NOT NULL, body bytea NOT NULL)")
	if err != nil {
		return "", err
	}
	return version, connection.QueryRow(ctx, "SHOW server_version").Scan(&version)
}

func postgresqlHas(ctx context.Context, url string, acknowledged int64) error {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	var rows int64
	if err := connection.QueryRow(ctx, "SELECT count(*) FROM transactions").Scan(&rows); err != nil {
		return err
	}
	if rows < acknowledged {
		return fmt.Errorf("there are %d rows of %d that were acknowledged", rows, acknowledged)
	}
	return nil
}
