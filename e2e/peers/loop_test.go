package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestPercentileIsTheLeastThatSoManyDoNotExceed(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for index := range hundred {
		hundred[index] = time.Duration(index + 1)
	}
	table := []struct {
		sorted  []time.Duration
		percent int
		wanted  time.Duration
		why     string
	}{
		{hundred, 50, 50, "half of a hundred"},
		{hundred, 99, 99, "one of a hundred is above it"},
		{hundred, 100, 100, "the last one"},
		{hundred[:3], 50, 2, "the middle one, not the one below"},
		{hundred[:10], 99, 10, "few enough that it is the worst"},
		{hundred[:1], 99, 1, "the only one"},
		{nil, 99, 0, "nothing came back"},
	}
	for _, row := range table {
		if is := percentile(row.sorted, row.percent); is != row.wanted {
			t.Errorf("%s: p%d is %d, not %d", row.why, row.percent, is, row.wanted)
		}
	}
}

func TestOnlyWhatIsAnsweredInsideTheWindowCounts(t *testing.T) {
	// The first answer comes in the warm-up, the second in the window, the third after its end.
	lasts := []time.Duration{0, 300 * time.Millisecond, 2 * time.Second}
	call := 0
	client := func(context.Context) (int, error) {
		time.Sleep(lasts[call])
		call++
		return 7, nil
	}
	found, err := loop(context.Background(), window{100 * time.Millisecond, time.Second}, []request{client})
	if err != nil || found.count != 7 || len(found.latencies) != 1 || call != 3 {
		t.Errorf("%d counted in %d answers of %d, %v; the second one was wanted", found.count, len(found.latencies), call, err)
	}
}

func TestAnErrorEndsTheLoop(t *testing.T) {
	broken := errors.New("broken")
	fails := func(context.Context) (int, error) { return 0, broken }
	waits := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
	if _, err := loop(context.Background(), window{0, time.Hour}, []request{fails, waits}); !errors.Is(err, broken) {
		t.Errorf("it says %v", err)
	}
}

func TestOnlyWhatWasSentAndStandsInABlockIsCommitted(t *testing.T) {
	room := &waitingRoom{waiting: map[string]*delivery{}}
	sent := [][]byte{[]byte(key() + "=a"), []byte(key() + "=b")}
	theirs := []byte(key() + "=c")
	delivered := room.expect(sent)
	inBlock := func(transactions ...[]byte) (encoded []string) {
		// As the validator writes them.
		text, err := json.Marshal(transactions)
		if err == nil {
			err = json.Unmarshal(text, &encoded)
		}
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	start := time.Now()
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

	room.arrived(at(1), inBlock(theirs))
	room.arrived(at(2), append(inBlock(sent[0], theirs), "short"))
	select {
	case <-delivered:
		t.Fatal("one of two is in a block, and both are said to be")
	default:
	}
	room.arrived(at(3), inBlock(sent[1], sent[0]))
	select {
	case <-delivered:
	default:
		t.Fatal("both are in blocks, and nobody was told")
	}
	if is := room.committed(at(0), at(9)); is != 1 {
		t.Errorf("%v a second, of two in the two seconds from the first block to the last", is)
	}
}

func TestARateIsBetweenBlocks(t *testing.T) {
	start := time.Now()
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	room := &waitingRoom{blocks: []block{{at(0), 1000}, {at(2), 500}, {at(3), 100}, {at(5), 200}, {at(8), 1000}}}
	table := []struct {
		from, until int
		wanted      float64
		why         string
	}{
		{1, 8, 100, "300 in three seconds; the first block's own came before, the end is outside"},
		{0, 9, 225, "1800 in eight seconds"},
		{4, 8, 0, "one block is no time"},
		{6, 7, 0, "none is less"},
	}
	for _, row := range table {
		if is := room.committed(at(row.from), at(row.until)); is != row.wanted {
			t.Errorf("%s: %v, not %v", row.why, is, row.wanted)
		}
	}
}

func TestOneThatIsRefusedIsNotAccepted(t *testing.T) {
	table := []struct {
		answers string
		wanted  int
		holds   bool
		why     string
	}{
		{`[{"result":{"code":0}},{"result":{"code":0}}]`, 2, true, "both are in the pool"},
		{`[{"result":{"code":0}},{"result":{"code":2,"log":"no ="}}]`, 2, false, "the application refused one"},
		{`[{"result":{"code":0}},{"error":{"code":-32603,"message":"mempool is full"}}]`, 2, false, "there was no room"},
		{`[{"result":{"code":0}}]`, 2, false, "nothing was said of one"},
	}
	for _, row := range table {
		var answers []answered
		if err := json.Unmarshal([]byte(row.answers), &answers); err != nil {
			t.Fatal(err)
		}
		if err := accepted(answers, row.wanted); (err == nil) != row.holds {
			t.Errorf("%s: %v", row.why, err)
		}
	}
}

func TestKeysDoNotComeTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 100_000 {
		one := key()
		if seen[one] || len(one) != keyBytes {
			t.Fatalf("%q came before, or has other than %d bytes", one, keyBytes)
		}
		seen[one] = true
	}
}

func TestASignatureOfAnotherBodyIsNotVerified(t *testing.T) {
	made := sign(bytesMin)[:100]
	if !verified(made) || !verified(made[:1]) {
		t.Fatal("good signatures are refused")
	}
	made[42].signature = made[43].signature
	if verified(made) || verified(made[42:43]) {
		t.Error("a bad signature is accepted")
	}
}
