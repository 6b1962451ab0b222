package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/tidb/store/mockstore/unistore/lockstore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWhatIsNotServedIsRefused(t *testing.T) {
	for method, served := range map[string]bool{
		"/tikvpb.Tikv/KvGet": true, "/tikvpb.Tikv/BatchRaft": true, "/deadlock.Deadlock/Detect": true,
		"/tikvpb.Tikv/RawPut": false, "/tikvpb.Tikv/KvDeleteRange": false, "/tikvpb.Tikv/Coprocessor": false,
		"/tikvpb.Tikv/BatchCommands": false, "/tikvpb.Tikv/UnsafeDestroyRange": false,
	} {
		if err := refusal(method); (err == nil) != served || !served && status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestScansAreClippedToTheirRegion(t *testing.T) {
	for _, row := range []struct{ low, high, regionLow, regionHigh, want string }{
		{"b", "c", "a", "d", "b-c"},
		{"", "", "a", "d", "a-d"},
		{"a", "z", "b", "d", "b-d"},
		{"", "z", "", "", "-z"},
		{"x", "", "", "", "x-"},
	} {
		low, high := clip([]byte(row.low), []byte(row.high), []byte(row.regionLow), []byte(row.regionHigh))
		if got := fmt.Sprintf("%s-%s", low, high); got != row.want {
			t.Errorf("%+v: %s", row, got)
		}
	}
}

func TestReadersWaitForOnePhaseCommitsOfTheirKeys(t *testing.T) {
	p := newPending()
	release := p.hold([]*kvrpcpb.Mutation{{Key: []byte("a")}, {Key: []byte("b")}})
	is := func(wanted string) func(string) bool { return func(key string) bool { return key == wanted } }
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if p.wait(ended, is("b")) == nil {
		t.Error("read while the key's commit was in flight")
	}
	if p.wait(ended, is("c")) != nil {
		t.Error("waited for a key that nobody writes")
	}
	waited := make(chan *errorpb.Error)
	go func() { waited <- p.wait(context.Background(), is("a")) }()
	release()
	if busy := <-waited; busy != nil {
		t.Error(busy)
	}
	if len(p.writes) != 0 {
		t.Error("a write that is done is still held")
	}
}

func TestAnAnswerOfOnePhaseSaysOneThing(t *testing.T) {
	other := &kvrpcpb.PrewriteResponse{OnePcCommitTs: 9, Errors: []*kvrpcpb.KeyError{{Conflict: &kvrpcpb.WriteConflict{ConflictTs: 4, ConflictCommitTs: 6}}}}
	settleOnePhase(5, other)
	if other.OnePcCommitTs != 0 || len(other.Errors) != 1 {
		t.Errorf("lost to another: %v", other)
	}
	own := &kvrpcpb.PrewriteResponse{Errors: []*kvrpcpb.KeyError{{Conflict: &kvrpcpb.WriteConflict{ConflictTs: 5, ConflictCommitTs: 6}}}}
	settleOnePhase(5, own)
	if own.OnePcCommitTs != 6 || len(own.Errors) != 0 {
		t.Errorf("its own commit, asked again: %v", own)
	}
}

func TestCommitsFitRaftEntries(t *testing.T) {
	s := &service{locks: lockstore.NewMemStore(lockStoreArenaBytes)}
	var keys [][]byte
	for i := range 10 {
		key := []byte(fmt.Sprintf("key-%d", i))
		s.locks.Put(key, make([]byte, 2<<20))
		keys = append(keys, key)
	}
	total := 0
	for _, run := range s.chunks(keys) {
		if len(run) == 0 || len(run) > 3 {
			t.Errorf("%d keys of 2 MiB in one entry", len(run))
		}
		total += len(run)
	}
	if total != len(keys) {
		t.Errorf("%d of %d keys", total, len(keys))
	}
	if runs := s.chunks(nil); len(runs) != 1 {
		t.Errorf("a request without keys is not asked: %v", runs)
	}
}

func TestDiskFullIsWhatClientsDecode(t *testing.T) {
	s := &service{storeID: 300}
	bytes, err := s.diskFull().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	// message (field 1), then disk_full (field 15) with store_id 300 and a reason.
	want := "\x0a\x0cdisk is full" + "\x7a\x12" + "\x0a\x02\xac\x02" + "\x12\x0cdisk is full"
	if string(bytes) != want {
		t.Errorf("%q", bytes)
	}
}

func TestLocksAreReadAgainFromBeforeTheirDump(t *testing.T) {
	for _, row := range []struct{ offset, oldest, want uint64 }{
		{0, 0, 0},
		{2<<32 | 77, 0, 0},
		{9<<32 | 77, 0, 5 << 32},
		{9<<32 | 77, 7, 7 << 32},
	} {
		if got := restoreFrom(row.offset, row.oldest); got != row.want {
			t.Errorf("%+v: %d", row, got)
		}
	}
}
