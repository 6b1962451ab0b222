package main

// CometBFT, validators that run its kvstore. An answer to broadcast_tx_sync says only that one validator took the
// transaction into its pool; it counts when it stands in a block that another validator hands out.

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	cometbftPatience = time.Minute
	// As often as the watcher asks whether there is another block; latencies are that much too long at most.
	cometbftPoll = 5 * time.Millisecond
)

// One connection for each client, kept: the standard library's own keeps two. CometBFT closes what was idle for ten
// seconds, and a request that meets that is lost.
var cometbftHTTP = &http.Client{
	Timeout:   cometbftPatience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 2048, IdleConnTimeout: 5 * time.Second},
}

func cometbft(ctx context.Context, t task) error {
	version, err := cometbftReady(ctx, t.at)
	if err != nil {
		return err
	}
	// The last one is read from, the others are written to.
	writers, reader := t.at[:max(len(t.at)-1, 1)], t.at[len(t.at)-1]
	made := values(t.bytes - keyBytes - len("="))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := &waitingRoom{waiting: map[string]*delivery{}}
	var watching sync.WaitGroup
	watching.Go(func() { cancel(waiting.watch(ctx, reader)) })
	defer watching.Wait()
	defer cancel(nil)
	measure := func(what string, clients, each int) error {
		if !t.wanted(what) {
			return nil
		}
		requests := make([]request, clients)
		for index := range requests {
			at, next := writers[index%len(writers)], index*each
			requests[index] = func(ctx context.Context) (int, error) {
				transactions := make([][]byte, each)
				for number := range transactions {
					transactions[number] = slices.Concat([]byte(key()), []byte("="), made[next%bodies])
					next++
				}
				delivered := waiting.expect(transactions)
				if err := cometbftSend(ctx, at, transactions); err != nil {
					return 0, err
				}
				select {
				case <-delivered:
					return each, nil
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				case <-time.After(cometbftPatience):
					return 0, errors.New("what was accepted is in no block after a minute")
				}
			}
		}
		found, err := loop(ctx, t.window, requests)
		if err != nil {
			return err
		}
		l := found.line(t.window)
		l.PerSecond = math.Round(waiting.committed(found.from, found.until))
		l.Peer, l.What, l.Clients, l.Version = "cometbft", what, clients, version
		l.Note = fmt.Sprintf("kvstore, %d validators; committed, as another validator's blocks have it; nobody signs or checks transactions", len(t.at))
		return t.say(l)
	}
	if err := measure("transactions, 100 a request", 100, 100); err != nil {
		return err
	}
	return measure("transactions, one a request", 2048, 1)
}

// block is when one was seen, and how many of ours it has.
type block struct {
	seen         time.Time
	transactions int
}

// delivery is a request that waits until all it sent is in blocks.
type delivery struct {
	missing int
	done    chan struct{}
}

// waitingRoom is where sent transactions are until they are found in a block.
type waitingRoom struct {
	mutex   sync.Mutex
	waiting map[string]*delivery
	blocks  []block
}

// name is what a transaction is known by in a block's JSON: the beginning of its base64, which is its key's, as that
// is a whole number of threes.
func name(transaction []byte) string {
	return base64.StdEncoding.EncodeToString(transaction[:keyBytes])
}

// expect is told before they are sent: a block may be faster than the answer.
func (w *waitingRoom) expect(transactions [][]byte) <-chan struct{} {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	one := &delivery{missing: len(transactions), done: make(chan struct{})}
	for _, transaction := range transactions {
		w.waiting[name(transaction)] = one
	}
	return one.done
}

// arrived is told of a block's transactions, in base64. What nobody waits for, or no longer, does not count.
func (w *waitingRoom) arrived(seen time.Time, transactions []string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	ours := 0
	for _, transaction := range transactions {
		if len(transaction) < nameBytes {
			continue
		}
		one, waits := w.waiting[transaction[:nameBytes]]
		if !waits {
			continue
		}
		delete(w.waiting, transaction[:nameBytes])
		ours++
		if one.missing--; one.missing == 0 {
			close(one.done)
		}
	}
	w.blocks = append(w.blocks, block{seen, ours})
}

// committed is how many a second stood in blocks, from the first block of that time to its last: blocks come
// seconds apart, and one more or less at an edge would be a tenth.
func (w *waitingRoom) committed(from, until time.Time) float64 {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var first, last time.Time
	count := 0
	for _, one := range w.blocks {
		if one.seen.Before(from) || !one.seen.Before(until) {
			continue
		}
		if first.IsZero() {
			// What it has came before it was seen.
			first, last = one.seen, one.seen
			continue
		}
		last = one.seen
		count += one.transactions
	}
	if !last.After(first) {
		return 0
	}
	return float64(count) / last.Sub(first).Seconds()
}

// watch reads one block after the other from that validator, until the context ends.
func (w *waitingRoom) watch(ctx context.Context, at string) error {
	height, err := cometbftHeight(ctx, at)
	for ctx.Err() == nil && err == nil {
		var answer struct {
			Block struct {
				Data struct {
					Transactions []string `json:"txs"`
				} `json:"data"`
			} `json:"block"`
		}
		err = cometbftAsk(ctx, fmt.Sprintf("%s/block?height=%d", at, height+1), &answer)
		var refused *refusal
		if errors.As(err, &refused) {
			// Not there yet.
			err = nil
			select {
			case <-ctx.Done():
			case <-time.After(cometbftPoll):
			}
			continue
		}
		if err == nil {
			height++
			w.arrived(time.Now(), answer.Block.Data.Transactions)
		}
	}
	return err
}

// refusal is an answer, and it is no.
type refusal struct {
	Message string `json:"message"`
	Data    string `json:"data"`
}

func (r *refusal) Error() string { return r.Message + ": " + r.Data }

// answered is the envelope of one JSON-RPC answer.
type answered struct {
	Error  *refusal        `json:"error"`
	Result json.RawMessage `json:"result"`
}

// cometbftSend is one HTTP request, answered when the validator's pool has them all.
func cometbftSend(ctx context.Context, at string, transactions [][]byte) error {
	type parameters struct {
		Transaction []byte `json:"tx"`
	}
	type call struct {
		Version    string     `json:"jsonrpc"`
		ID         int        `json:"id"`
		Method     string     `json:"method"`
		Parameters parameters `json:"params"`
	}
	calls := make([]call, len(transactions))
	for index, transaction := range transactions {
		calls[index] = call{"2.0", index, "broadcast_tx_sync", parameters{transaction}}
	}
	var body []byte
	var err error
	if len(calls) == 1 {
		body, err = json.Marshal(calls[0])
	} else {
		body, err = json.Marshal(calls)
	}
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := cometbftHTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answers := make([]answered, 1)
	if len(calls) == 1 {
		err = json.NewDecoder(response.Body).Decode(&answers[0])
	} else {
		err = json.NewDecoder(response.Body).Decode(&answers)
	}
	if err != nil {
		return err
	}
	return accepted(answers, len(transactions))
}

// accepted holds when every transaction was taken into the pool.
func accepted(answers []answered, wanted int) error {
	if len(answers) != wanted {
		return fmt.Errorf("%d answers to %d transactions", len(answers), wanted)
	}
	for _, one := range answers {
		if one.Error != nil {
			return one.Error
		}
		var result struct {
			Code int    `json:"code"`
			Log  string `json:"log"`
		}
		if err := json.Unmarshal(one.Result, &result); err != nil {
			return err
		}
		if result.Code != 0 {
			return fmt.Errorf("refused with code %d: %s", result.Code, result.Log)
		}
	}
	return nil
}

func cometbftAsk(ctx context.Context, url string, result any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+url, nil)
	if err != nil {
		return err
	}
	response, err := cometbftHTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer answered
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return json.Unmarshal(answer.Result, result)
}

type cometbftStatus struct {
	Node struct {
		Version string `json:"version"`
	} `json:"node_info"`
	Sync struct {
		Height int64 `json:"latest_block_height,string"`
	} `json:"sync_info"`
}

func cometbftHeight(ctx context.Context, at string) (int64, error) {
	var status cometbftStatus
	err := cometbftAsk(ctx, at+"/status", &status)
	return status.Sync.Height, err
}

// cometbftReady waits until each knows all the others, and blocks are made.
func cometbftReady(ctx context.Context, validators []string) (version string, err error) {
	err = eventually(ctx, func(ctx context.Context) error {
		for _, at := range validators {
			var status cometbftStatus
			if err := cometbftAsk(ctx, at+"/status", &status); err != nil {
				return err
			}
			var network struct {
				Peers int `json:"n_peers,string"`
			}
			if err := cometbftAsk(ctx, at+"/net_info", &network); err != nil {
				return err
			}
			if network.Peers < len(validators)-1 || status.Sync.Height < 2 {
				return fmt.Errorf("%s has %d peers and is at height %d", at, network.Peers, status.Sync.Height)
			}
			version = status.Node.Version
		}
		return nil
	})
	return version, err
}
