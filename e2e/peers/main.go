// cairn-peers puts load on what Cairn is compared with, and says what it took: one JSON object a line.
// run.sh starts the servers. Read loop.go first (what is measured), then a file for each peer; `go test` here tries what
// counts without any server.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `cairn-peers etcd       --at HOST:PORT,...   puts into the members of one etcd
cairn-peers postgresql --at URL             verifies signatures and inserts rows
cairn-peers cometbft   --at HOST:PORT,...   sends transactions to validators that run its kvstore, and reads their blocks

The servers run already; run.sh starts them. One JSON object a line on standard output, progress on standard error.

`

// line is what is said of one measurement.
type line struct {
	Peer      string  `json:"peer"`
	What      string  `json:"what"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Clients   int     `json:"clients"`
	Bytes     int     `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	Version   string  `json:"version"`
	Note      string  `json:"note"`
}

// task is what all peers are told.
type task struct {
	at     []string
	bytes  int
	note   string
	only   string
	window window
}

func main() {
	peers := map[string]func(context.Context, task) error{
		"etcd": etcd, "postgresql": postgresql, "cometbft": cometbft,
	}
	flags := flag.NewFlagSet("cairn-peers", flag.ExitOnError)
	at := flags.String("at", "", "where the servers are, with commas between them")
	bytes := flags.Int("bytes", 1100, "bytes of a value, a row's body or a transaction")
	seconds := flags.Float64("seconds", 10, "how long to measure, each")
	warm := flags.Float64("warm-up", 3, "how long to run before that, each")
	note := flags.String("note", "", "what else to say in each line, such as how the servers are set")
	only := flags.String("only", "", "measure only those whose name has this in it")
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	if len(os.Args) < 2 || peers[os.Args[1]] == nil {
		flags.Usage()
		os.Exit(2)
	}
	peer := os.Args[1]
	_ = flags.Parse(os.Args[2:])
	if *at == "" || *bytes < bytesMin || *seconds <= 0 {
		fmt.Fprintf(os.Stderr, "cairn-peers: --at is needed, --bytes of at least %d, --seconds above 0\n", bytesMin)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	err := peers[peer](ctx, task{
		at: strings.Split(*at, ","), bytes: *bytes, note: *note, only: *only,
		window: window{warm: duration(*warm), measured: duration(*seconds)},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "cairn-peers: %s: %v\n", peer, err)
		os.Exit(1)
	}
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// wanted says whether to measure that, and tells whoever watches.
func (t task) wanted(what string) bool {
	if !strings.Contains(what, t.only) {
		return false
	}
	fmt.Fprintf(os.Stderr, "  %s ...\n", what)
	return true
}

func (t task) say(l line) error {
	l.Bytes, l.Seconds = t.bytes, t.window.measured.Seconds()
	if t.note != "" {
		l.Note = strings.TrimPrefix(l.Note+"; "+t.note, "; ")
	}
	return json.NewEncoder(os.Stdout).Encode(l)
}

// eventually tries until it works, for at most half a minute: servers that start take a moment.
func eventually(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after half a minute: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
