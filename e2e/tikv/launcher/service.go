package main

// The TiKV service as TiKV documents it, over the module's: what that one does
// differently is put right on the way through, and what it only pretends to do
// is refused.

import (
	"bytes"
	"context"
	"path"
	"strings"
	"sync/atomic"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/pingcap/tidb/store/mockstore/unistore/lockstore"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv/mvcc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// served is what the module does and this program vouches for. Raw*, range
// deletion, coprocessors and the like answer success there and do nothing.
var served = map[string]bool{
	"KvGet": true, "KvBatchGet": true, "KvScan": true,
	"KvPrewrite": true, "KvCommit": true, "KvBatchRollback": true, "KvCleanup": true,
	"KvPessimisticLock": true, "KVPessimisticRollback": true, "KvTxnHeartBeat": true,
	"KvCheckTxnStatus": true, "KvScanLock": true, "KvResolveLock": true,
	"Raft": true, "BatchRaft": true, "Snapshot": true,
}

func refusal(fullMethod string) error {
	name := path.Base(fullMethod)
	if served[name] || strings.HasPrefix(fullMethod, "/deadlock.Deadlock/") {
		return nil
	}
	return status.Errorf(codes.Unimplemented, "%s is not served by cairn-tikv-dev: transactions are", name)
}

func refuseUnary(ctx context.Context, request interface{}, information *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (interface{}, error) {
	if err := refusal(information.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func refuseStream(server interface{}, stream grpc.ServerStream, information *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := refusal(information.FullMethod); err != nil {
		return err
	}
	return handle(server, stream)
}

type service struct {
	tikvpb.TikvServer
	inner   *tikv.Server
	regions tikv.RegionManager
	locks   *lockstore.MemStore
	storeID uint64
	pending *pending
	full    atomic.Bool
}

func newService(inner *tikv.Server, regions tikv.RegionManager, locks *lockstore.MemStore, storeID uint64) *service {
	return &service{TikvServer: inner, inner: inner, regions: regions, locks: locks, storeID: storeID, pending: newPending()}
}

// KvGet says whether the key is there at all.
func (s *service) KvGet(ctx context.Context, request *kvrpcpb.GetRequest) (*kvrpcpb.GetResponse, error) {
	if busy := s.pending.wait(ctx, func(key string) bool { return key == string(request.Key) }); busy != nil {
		return &kvrpcpb.GetResponse{RegionError: busy}, nil
	}
	response, err := s.inner.KvGet(ctx, request)
	if err == nil && response.RegionError == nil && response.Error == nil {
		response.NotFound = len(response.Value) == 0
	}
	return response, err
}

func (s *service) KvBatchGet(ctx context.Context, request *kvrpcpb.BatchGetRequest) (*kvrpcpb.BatchGetResponse, error) {
	keys := make(map[string]bool, len(request.Keys))
	for _, key := range request.Keys {
		keys[string(key)] = true
	}
	if busy := s.pending.wait(ctx, func(key string) bool { return keys[key] }); busy != nil {
		return &kvrpcpb.BatchGetResponse{RegionError: busy}, nil
	}
	return s.inner.KvBatchGet(ctx, request)
}

// KvScan stays within its region and leaves values out when asked to.
func (s *service) KvScan(ctx context.Context, request *kvrpcpb.ScanRequest) (*kvrpcpb.ScanResponse, error) {
	region, regionError := s.regions.GetRegionFromCtx(request.Context)
	if regionError != nil {
		return &kvrpcpb.ScanResponse{RegionError: regionError}, nil
	}
	low, high := &request.StartKey, &request.EndKey
	if request.Reverse {
		low, high = high, low
	}
	*low, *high = clip(*low, *high, region.RawStart(), region.RawEnd())
	if len(*high) != 0 && bytes.Compare(*low, *high) >= 0 || request.Limit == 0 {
		return &kvrpcpb.ScanResponse{}, nil
	}
	within := func(key string) bool { return key >= string(*low) && (len(*high) == 0 || key < string(*high)) }
	if busy := s.pending.wait(ctx, within); busy != nil {
		return &kvrpcpb.ScanResponse{RegionError: busy}, nil
	}
	response, err := s.inner.KvScan(ctx, request)
	if err == nil && request.KeyOnly {
		for _, pair := range response.Pairs {
			pair.Value = nil
		}
	}
	return response, err
}

// clip narrows [low, high) to a region; an empty high end is no bound.
func clip(low, high, regionLow, regionHigh []byte) ([]byte, []byte) {
	if bytes.Compare(low, regionLow) < 0 {
		low = regionLow
	}
	if len(high) == 0 || len(regionHigh) != 0 && bytes.Compare(high, regionHigh) > 0 {
		high = regionHigh
	}
	return low, high
}

func (s *service) KvPrewrite(ctx context.Context, request *kvrpcpb.PrewriteRequest) (*kvrpcpb.PrewriteResponse, error) {
	if s.full.Load() {
		return &kvrpcpb.PrewriteResponse{RegionError: s.diskFull()}, nil
	}
	if request.UseAsyncCommit {
		// The client takes min_commit_ts for the answer even where it is 0, so
		// falling back, as TiKV may, would commit at time 0.
		return &kvrpcpb.PrewriteResponse{Errors: []*kvrpcpb.KeyError{{Abort: "async commit is not served by cairn-tikv-dev: two phases or one are"}}}, nil
	}
	if tooLarge := s.entryTooLarge(request); tooLarge != nil {
		return &kvrpcpb.PrewriteResponse{RegionError: tooLarge}, nil
	}
	// Only async commit ever reads them, and each lock would hold all of them.
	request.Secondaries = nil
	if !request.TryOnePc {
		return s.inner.KvPrewrite(ctx, request)
	}
	defer s.pending.hold(request.Mutations)()
	response, err := s.inner.KvPrewrite(ctx, request)
	if err == nil {
		settleOnePhase(request.StartVersion, response)
	}
	return response, err
}

// entryTooLarge refuses what a raft entry cannot carry before anything is
// locked. The commit of a lock carries the lock's value once more and a little
// extra, so the bound lies below raft's own.
func (s *service) entryTooLarge(request *kvrpcpb.PrewriteRequest) *errorpb.Error {
	size := 0
	for _, mutation := range request.Mutations {
		size += lockBytes(len(mutation.Key), len(request.PrimaryLock), len(mutation.Value))
	}
	if size <= entryBytesMax {
		return nil
	}
	return &errorpb.Error{
		Message:           "raft entry is too large",
		RaftEntryTooLarge: &errorpb.RaftEntryTooLarge{RegionId: request.Context.GetRegionId(), EntrySize: uint64(size)},
	}
}

func (s *service) KvPessimisticLock(ctx context.Context, request *kvrpcpb.PessimisticLockRequest) (*kvrpcpb.PessimisticLockResponse, error) {
	if s.full.Load() {
		return &kvrpcpb.PessimisticLockResponse{RegionError: s.diskFull()}, nil
	}
	return s.inner.KvPessimisticLock(ctx, request)
}

// KvScanLock heeds the key to start from, so that a caller with more locks
// than fit one answer gets on.
func (s *service) KvScanLock(_ context.Context, request *kvrpcpb.ScanLockRequest) (*kvrpcpb.ScanLockResponse, error) {
	region, regionError := s.regions.GetRegionFromCtx(request.Context)
	if regionError != nil {
		return &kvrpcpb.ScanLockResponse{RegionError: regionError}, nil
	}
	low, high := clip(request.StartKey, request.EndKey, region.RawStart(), region.RawEnd())
	response := &kvrpcpb.ScanLockResponse{}
	entry := s.locks.NewIterator()
	for entry.Seek(low); entry.Valid(); entry.Next() {
		if len(high) != 0 && bytes.Compare(entry.Key(), high) >= 0 {
			break
		}
		if request.Limit > 0 && len(response.Locks) == int(request.Limit) {
			break
		}
		lock := mvcc.DecodeLock(entry.Value())
		if lock.StartTS <= request.MaxVersion {
			response.Locks = append(response.Locks, lock.ToLockInfo(append([]byte{}, entry.Key()...)))
		}
	}
	return response, nil
}
