package main

// Commits in several raft entries. Here the entry that commits a lock carries
// its value (TiKV's does not), so a transaction of more than one entry's bytes
// was acknowledged and could then neither be committed nor resolved. Keys are
// committed one by one in any order anyway, once the primary is.

import (
	"bytes"
	"context"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv/mvcc"
)

const (
	// Raft's own bound is 8 MiB.
	entryBytesMax = 8<<20 - 64<<10
	// What a lock takes beside its key, its primary and its value.
	lockExtraBytes = 64
)

func lockBytes(key, primary, value int) int {
	return key + primary + value + lockExtraBytes
}

// chunks cuts keys into runs whose locks fit one raft entry. At least one run
// comes back, so that a request without locks is answered by the store.
func (s *service) chunks(keys [][]byte) [][][]byte {
	runs, size := [][][]byte{{}}, 0
	for _, key := range keys {
		more := len(key) + len(s.locks.Get(key, nil)) + lockExtraBytes
		last := len(runs) - 1
		if size+more > entryBytesMax && len(runs[last]) > 0 {
			runs, size, last = append(runs, nil), 0, last+1
		}
		runs[last] = append(runs[last], key)
		size += more
	}
	return runs
}

func (s *service) KvCommit(ctx context.Context, request *kvrpcpb.CommitRequest) (*kvrpcpb.CommitResponse, error) {
	var response *kvrpcpb.CommitResponse
	for _, run := range s.chunks(request.Keys) {
		part := *request
		part.Keys = run
		var err error
		response, err = s.inner.KvCommit(ctx, &part)
		if err != nil || response.RegionError != nil || response.Error != nil {
			return response, err
		}
	}
	return response, nil
}

func (s *service) KvResolveLock(ctx context.Context, request *kvrpcpb.ResolveLockRequest) (*kvrpcpb.ResolveLockResponse, error) {
	region, regionError := s.regions.GetRegionFromCtx(request.Context)
	if regionError != nil {
		return &kvrpcpb.ResolveLockResponse{RegionError: regionError}, nil
	}
	asked := []*kvrpcpb.TxnInfo{{Txn: request.StartVersion, Status: request.CommitVersion}}
	if len(request.TxnInfos) > 0 {
		asked = request.TxnInfos
	}
	for _, transaction := range asked {
		keys := request.Keys
		if len(keys) == 0 || len(request.TxnInfos) > 0 {
			keys = s.lockedBy(transaction.Txn, region.RawStart(), region.RawEnd())
		}
		for _, run := range s.chunks(keys) {
			part := *request
			part.TxnInfos, part.Keys = nil, run
			part.StartVersion, part.CommitVersion = transaction.Txn, transaction.Status
			response, err := s.inner.KvResolveLock(ctx, &part)
			if err != nil || response.RegionError != nil || response.Error != nil {
				return response, err
			}
		}
	}
	return &kvrpcpb.ResolveLockResponse{}, nil
}

// lockedBy is every key of [low, high) that a transaction has locked.
func (s *service) lockedBy(start uint64, low, high []byte) [][]byte {
	var keys [][]byte
	entry := s.locks.NewIterator()
	for entry.Seek(low); entry.Valid(); entry.Next() {
		if len(high) != 0 && bytes.Compare(entry.Key(), high) >= 0 {
			break
		}
		if lock := mvcc.DecodeLock(entry.Value()); lock.StartTS == start {
			keys = append(keys, append([]byte{}, entry.Key()...))
		}
	}
	return keys
}
