package main

// A disk that is full, without filling one: beyond its limit a store answers
// writes as TiKV documents it for a full disk, and still reads, commits and
// rolls back. (A file system that is really full ends the process; put DIR on
// a small one to see that.)

import (
	"encoding/binary"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pingcap/kvproto/pkg/errorpb"
)

const diskWatchInterval = 200 * time.Millisecond

func (s *service) watchDisk(folder string, limit int64) {
	for {
		s.full.Store(diskUsage(folder) > limit)
		time.Sleep(diskWatchInterval)
	}
}

// diskUsage is what the files under a folder occupy; those that vanish
// meanwhile count for nothing.
func diskUsage(folder string) int64 {
	var total int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if information, err := entry.Info(); err == nil {
			if raw, ok := information.Sys().(*syscall.Stat_t); ok {
				total += raw.Blocks * 512
			}
		}
		return nil
	})
	return total
}

// diskFull is errorpb.Error with disk_full (field 15: store ids, reason), which
// the module's version of the protocol does not know yet.
func (s *service) diskFull() *errorpb.Error {
	const reason = "disk is full"
	ids := binary.AppendUvarint(nil, s.storeID)
	body := append([]byte{1<<3 | 2, byte(len(ids))}, ids...)
	body = append(append(body, 2<<3|2, byte(len(reason))), reason...)
	return &errorpb.Error{Message: reason, XXX_unrecognized: append([]byte{15<<3 | 2, byte(len(body))}, body...)}
}
