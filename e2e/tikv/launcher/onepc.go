package main

// One-phase commits in flight. The module takes the commit's time, then writes:
// a reader whose time lies between would miss the value and see it later, and a
// writer that read so would overwrite it. TiKV locks the keys in memory first;
// here readers of those keys wait until the write is done.

import (
	"context"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
)

// A write that takes longer has lost its quorum; the reader may ask again.
const pendingWaitMax = 2 * time.Second

type pending struct {
	mutex sync.Mutex
	// Keys of each write in flight, and what is closed when it is done.
	writes map[*onePhase]struct{}
}

type onePhase struct {
	keys []string
	done chan struct{}
}

func newPending() *pending {
	return &pending{writes: map[*onePhase]struct{}{}}
}

// hold marks the keys until the returned function is called.
func (p *pending) hold(mutations []*kvrpcpb.Mutation) func() {
	write := &onePhase{done: make(chan struct{})}
	for _, mutation := range mutations {
		write.keys = append(write.keys, string(mutation.Key))
	}
	p.mutex.Lock()
	p.writes[write] = struct{}{}
	p.mutex.Unlock()
	return func() {
		p.mutex.Lock()
		delete(p.writes, write)
		p.mutex.Unlock()
		close(write.done)
	}
}

// wait returns when every write that touches such a key, and began before, is
// done: nil, or "busy" after pendingWaitMax.
func (p *pending) wait(ctx context.Context, touches func(key string) bool) *errorpb.Error {
	waiting := p.touching(touches)
	if len(waiting) == 0 {
		return nil
	}
	timer := time.NewTimer(pendingWaitMax)
	defer timer.Stop()
	for _, write := range waiting {
		select {
		case <-write.done:
		case <-ctx.Done():
			return busy()
		case <-timer.C:
			return busy()
		}
	}
	return nil
}

func (p *pending) touching(touches func(key string) bool) []*onePhase {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var found []*onePhase
	for write := range p.writes {
		for _, key := range write.keys {
			if touches(key) {
				found = append(found, write)
				break
			}
		}
	}
	return found
}

func busy() *errorpb.Error {
	const reason = "a one-phase commit of the same key is in flight"
	return &errorpb.Error{Message: reason, ServerIsBusy: &errorpb.ServerIsBusy{Reason: reason}}
}

// settleOnePhase makes the answer say one thing. A commit time beside an error
// is none; and a conflict with oneself is the commit of which an earlier answer
// was lost, which TiKV answers with its time.
func settleOnePhase(start uint64, response *kvrpcpb.PrewriteResponse) {
	if response.RegionError != nil || len(response.Errors) != 0 {
		response.OnePcCommitTs = 0
	}
	if len(response.Errors) != 1 || response.Errors[0].Conflict == nil {
		return
	}
	if conflict := response.Errors[0].Conflict; conflict.ConflictTs == start {
		response.Errors, response.OnePcCommitTs = nil, conflict.ConflictCommitTs
	}
}
