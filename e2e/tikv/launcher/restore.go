package main

// Locks after a restart. They live in memory only, beside a dump that the
// module makes every now and then. Its own way back reads the raft log since,
// but does not know the form in which the log is written here, so every lock
// was gone: a transaction whose primary was committed lost its other keys.

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ngaut/unistore/raftstore"
	"github.com/ngaut/unistore/raftstore/raftlog"
	"github.com/pingcap/badger"
	"github.com/pingcap/kvproto/pkg/eraftpb"
	"github.com/pingcap/log"
	"github.com/pingcap/tidb/store/mockstore/unistore/lockstore"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv/mvcc"
	"go.uber.org/zap"
)

const (
	// The dump claims to hold what was logged up to its offset, and is made 5 s
	// later in the hope that this has been applied by then. Reading again what
	// it holds changes nothing, so the log is read from this many files before.
	restoreFilesBefore = 4
	// The module dumps two files after a start, at 15 s the earliest. A store
	// that is killed sooner each time would read ever more: one dump before.
	dumpAfterStart = 7 * time.Second
)

// restoreLocks brings back the locks of everything that this store has applied.
func restoreLocks(bundle *mvcc.DBBundle, raftDB *badger.DB, kvPath, raftPath string) error {
	meta, err := bundle.LockStore.LoadFromFile(filepath.Join(kvPath, raftstore.LockstoreFileName))
	if err != nil {
		return err
	}
	var offset uint64
	if meta != nil {
		offset = binary.LittleEndian.Uint64(meta)
	}
	oldest, err := oldestLog(raftPath)
	if err != nil {
		return err
	}
	// A store without a dump has written its first file, 0 or 1, itself.
	if file := offset >> 32; file < oldest && !(meta == nil && oldest == 1) {
		return fmt.Errorf("the log since their last dump begins in file %d, the oldest left is %d", file, oldest)
	}
	from := restoreFrom(offset, oldest)
	if err != nil {
		return err
	}
	applied, err := appliedEntries(bundle.DB, raftDB, from)
	if err != nil {
		return err
	}
	position := 0
	var broken error
	err = raftDB.IterateVLog(from, func(logged badger.Entry) {
		position++
		if broken == nil && applied[string(logged.Key.UserKey)] == position {
			broken = restoreEntry(logged.Value, bundle.LockStore)
		}
	})
	if broken != nil {
		return broken
	}
	return err
}

// restoreFrom is the beginning of a file some way before the dump's offset.
func restoreFrom(offset, oldest uint64) uint64 {
	file := offset >> 32
	return max(file-min(file, restoreFilesBefore), oldest) << 32
}

// oldestLog is the number of the first value log file.
func oldestLog(raftPath string) (uint64, error) {
	entries, err := os.ReadDir(raftPath)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		// In order: they are numbered with leading zeros.
		if name, isLog := strings.CutSuffix(entry.Name(), ".vlog"); isLog {
			return strconv.ParseUint(name, 10, 32)
		}
	}
	return 0, nil
}

// appliedEntries says for each applied raft entry at which position of the log
// it stands for the last time: an earlier one at the same index was replaced by
// a newer leader's, and never committed.
func appliedEntries(kvDB, raftDB *badger.DB, from uint64) (map[string]int, error) {
	positions, position := map[string]int{}, 0
	indexes := map[uint64]uint64{}
	snapshot := kvDB.NewTransaction(false)
	defer snapshot.Discard()
	var broken error
	err := raftDB.IterateVLog(from, func(logged badger.Entry) {
		position++
		key := logged.Key.UserKey
		if broken != nil || !isRaftEntry(key) || len(logged.Value) == 0 {
			return
		}
		region := binary.BigEndian.Uint64(key[2:])
		if _, known := indexes[region]; !known {
			indexes[region], broken = appliedIndex(snapshot, region)
		}
		if binary.BigEndian.Uint64(key[raftstore.RegionRaftLogLen-8:]) <= indexes[region] {
			positions[string(key)] = position
		}
	})
	if broken != nil {
		return nil, broken
	}
	return positions, err
}

func isRaftEntry(key []byte) bool {
	return len(key) == raftstore.RegionRaftLogLen && key[0] == raftstore.LocalPrefix &&
		key[1] == raftstore.RegionRaftPrefix && key[10] == raftstore.RaftLogSuffix
}

func appliedIndex(snapshot *badger.Txn, region uint64) (uint64, error) {
	item, err := snapshot.Get(raftstore.ApplyStateKey(region))
	if err == badger.ErrKeyNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	state, err := item.Value()
	if err != nil {
		return 0, err
	}
	// The index comes first.
	return binary.LittleEndian.Uint64(state), nil
}

// restoreEntry does to the locks what applying the entry did.
func restoreEntry(marshalled []byte, locks *lockstore.MemStore) error {
	var entry eraftpb.Entry
	if err := entry.Unmarshal(marshalled); err != nil {
		return err
	}
	if entry.EntryType != eraftpb.EntryType_EntryNormal || len(entry.Data) == 0 || entry.Data[0] != raftlog.CustomRaftLogFlag {
		return nil
	}
	written := raftlog.NewCustom(entry.Data)
	switch written.Type() {
	case raftlog.TypePrewrite, raftlog.TypePessimisticLock:
		written.IterateLock(func(key, lock []byte) { locks.Put(key, lock) })
	case raftlog.TypeCommit:
		written.IterateCommit(func(key, _ []byte, _ uint64) { locks.Delete(key) })
	case raftlog.TypeRolback:
		written.IterateRollback(func(key []byte, _ uint64, unlock bool) {
			if unlock {
				locks.Delete(key)
			}
		})
	case raftlog.TypePessimisticRollback:
		written.IteratePessimisticRollback(func(key []byte) { locks.Delete(key) })
	}
	return nil
}

// dumpOnce makes the first dump of this run, as the module makes its own: what
// was logged when the store was opened has been applied since.
func dumpOnce(locks *lockstore.MemStore, kvPath string, opened uint64) {
	time.Sleep(dumpAfterStart)
	meta := binary.LittleEndian.AppendUint64(nil, opened)
	if err := locks.DumpToFile(filepath.Join(kvPath, raftstore.LockstoreFileName), meta); err != nil {
		log.Error("the locks were not dumped", zap.Error(err))
	}
}
