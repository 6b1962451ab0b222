package main

// One store: the module's packages put together in the order its raft mode
// wants, with the settings under which it loses nothing.

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ngaut/unistore/config"
	"github.com/ngaut/unistore/raftstore"
	"github.com/pingcap/badger"
	"github.com/pingcap/badger/options"
	"github.com/pingcap/kvproto/pkg/deadlock"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/pingcap/log"
	"github.com/pingcap/tidb/store/mockstore/unistore/lockstore"
	"github.com/pingcap/tidb/store/mockstore/unistore/pd"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv"
	"github.com/pingcap/tidb/store/mockstore/unistore/tikv/mvcc"
	"github.com/zhangjinpeng1987/raft"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	lockStoreArenaBytes = 8 << 20
	windowBytes         = 1 << 30
	logFileMiB          = 16
	logFiles            = 2
	valueLogFileBytes   = 128 << 20
	memTableBytes       = 32 << 20
	// A restart reads the raft DB's value log again from the last dump of the
	// lock store, which is made every two files or 15 s, whichever is later.
	// 4 GiB in 15 s is more than this server can write; files beyond are deleted.
	raftValueLogFiles = 32
)

func serveStore(options storeOptions) error {
	if err := logTo(options.logFile()); err != nil {
		return err
	}
	pdClient, err := pd.NewClient([]string{options.pd}, "")
	if err != nil {
		return fmt.Errorf("cannot reach PD at %s: %w", options.pd, err)
	}
	service, err := openStore(storeConfig(options), pdClient)
	if err != nil {
		return fmt.Errorf("cannot open the store in %s: %w", options.dir, err)
	}
	if options.diskLimit > 0 {
		go service.watchDisk(options.dir, options.diskLimit)
	}
	listener, err := net.Listen("tcp", options.address)
	if err != nil {
		return err
	}
	server := newGrpcServer(service)
	go serveStatus(options.status)
	go func() {
		// What was acknowledged is on disk (sync writes), and SIGKILL is what
		// tests do all day: ending at once is the path that is proven.
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
		<-ended
		os.Exit(0)
	}()
	return server.Serve(listener)
}

func newGrpcServer(service *service) *grpc.Server {
	server := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 2 * time.Second, PermitWithoutStream: true}),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(windowBytes),
		// A leader sends up to 128 raft messages in one, each with entries of
		// many MiB. A bound here leaves a lagging follower behind for ever.
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.UnaryInterceptor(refuseUnary),
		grpc.StreamInterceptor(refuseStream),
	)
	tikvpb.RegisterTikvServer(server, service)
	deadlock.RegisterDeadlockServer(server, service.inner)
	return server
}

// serveStatus answers 200 on /status once the store serves.
func serveStatus(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(writer http.ResponseWriter, _ *http.Request) { writer.WriteHeader(http.StatusOK) })
	if err := http.ListenAndServe(address, mux); err != nil {
		fmt.Fprintf(os.Stderr, "cairn-tikv-dev: status at %s: %v\n", address, err)
		os.Exit(1)
	}
}

type raftLogger struct{ *zap.SugaredLogger }

func (l raftLogger) Warning(v ...interface{})                 { l.Warn(v...) }
func (l raftLogger) Warningf(format string, v ...interface{}) { l.Warnf(format, v...) }

func logTo(file string) error {
	logger, properties, err := log.InitLogger(&log.Config{
		Level: "warn",
		File:  log.FileLogConfig{Filename: file, MaxSize: logFileMiB, MaxBackups: logFiles},
	})
	if err != nil {
		return err
	}
	log.ReplaceGlobals(logger, properties)
	raft.SetLogger(raftLogger{logger.Sugar()})
	return nil
}

// storeConfig elects within about a second and syncs every write.
func storeConfig(options storeOptions) *config.Config {
	conf := config.DefaultConf
	conf.Server.PDAddr = options.pd
	conf.Server.StoreAddr = options.reachedAt()
	conf.Server.StatusAddr = options.status
	conf.Engine.DBPath = options.dir
	conf.Engine.SyncWrite = true
	conf.Engine.CompactL0WhenClose = false
	conf.Engine.VlogFileSize = valueLogFileBytes
	conf.Engine.MaxMemTableSize = memTableBytes
	conf.RaftStore.CustomRaftLog = true
	return &conf
}

func raftConfig(conf *config.Config, snapshots string) *raftstore.Config {
	raftConf := raftstore.NewDefaultConfig()
	raftConf.Addr = conf.Server.StoreAddr
	raftConf.SnapPath = snapshots
	raftConf.PdHeartbeatTickInterval = time.Second
	raftConf.RaftBaseTickInterval = 100 * time.Millisecond
	raftConf.RaftHeartbeatTicks = 2
	raftConf.RaftElectionTimeoutTicks = 10
	raftConf.RaftStoreMaxLeaderLease = 900 * time.Millisecond
	// A raft snapshot brings a follower no data. With these limits the log is
	// cut only below what every peer has, so none is made once there are data;
	// for the same reason a store can never be added or replaced later.
	raftConf.RaftLogGcCountLimit = math.MaxUint64
	raftConf.RaftLogGcSizeLimit = math.MaxUint64
	raftConf.SplitCheck.RegionMaxKeys = uint64(conf.Coprocessor.RegionMaxKeys)
	raftConf.SplitCheck.RegionSplitKeys = uint64(conf.Coprocessor.RegionSplitKeys)
	return raftConf
}

func openStore(conf *config.Config, pdClient pd.Client) (*service, error) {
	root := conf.Engine.DBPath
	kvPath, raftPath, snapshots := filepath.Join(root, "kv"), filepath.Join(root, "raft"), filepath.Join(root, "snap")
	for _, folder := range []string{kvPath, raftPath, snapshots} {
		// MkdirAll: a second start finds them there, snapshots included.
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	physical, logical, err := pdClient.GetTS(context.Background())
	if err != nil {
		return nil, err
	}
	safePoint := &tikv.SafePoint{}
	kvDB, err := openKV(kvPath, safePoint, conf)
	if err != nil {
		return nil, err
	}
	bundle := &mvcc.DBBundle{
		DB:        kvDB,
		LockStore: lockstore.NewMemStore(lockStoreArenaBytes),
		StateTS:   uint64(physical)<<18 + uint64(logical),
	}
	raftDB, err := openRaft(raftPath, conf)
	if err != nil {
		return nil, err
	}
	if err := restoreLocks(bundle, raftDB, kvPath, raftPath); err != nil {
		return nil, fmt.Errorf("the locks cannot be restored: %w", err)
	}
	opened := raftDB.GetVLogOffset()
	inner := raftstore.NewRaftInnerServer(conf, raftstore.NewEngines(bundle, raftDB, kvPath, raftPath), raftConfig(conf, snapshots))
	inner.Setup(pdClient)
	router := inner.GetRaftstoreRouter()
	store := tikv.NewMVCCStore(&conf.Config, bundle, root, safePoint, raftstore.NewDBWriter(conf, router), pdClient)
	regions := raftstore.NewRaftRegionManager(inner.GetStoreMeta(), router, store.DeadlockDetectSvr)
	inner.SetPeerEventObserver(regions)
	if err := inner.Start(pdClient); err != nil {
		return nil, err
	}
	store.StartDeadlockDetection(true)
	go dumpOnce(bundle.LockStore, kvPath, opened)
	return newService(tikv.NewServer(regions, store, inner), regions, bundle.LockStore, inner.GetStoreMeta().GetId()), nil
}

func openKV(folder string, safePoint *tikv.SafePoint, conf *config.Config) (*badger.DB, error) {
	opts := databaseOptions(folder, conf)
	opts.ValueThreshold = conf.Engine.ValueThreshold
	opts.ValueLogMaxNumFiles = 3
	opts.ManagedTxns = true
	opts.CompactionFilterFactory = safePoint.CreateCompactionFilter
	return badger.Open(opts)
}

func openRaft(folder string, conf *config.Config) (*badger.DB, error) {
	opts := databaseOptions(folder, conf)
	// Everything in the tree: entries are soon deleted.
	opts.ValueThreshold = 0
	opts.ValueLogMaxNumFiles = raftValueLogFiles
	opts.CompactionFilterFactory = raftstore.CreateRaftLogCompactionFilter
	return badger.Open(opts)
}

func databaseOptions(folder string, conf *config.Config) badger.Options {
	engine := &conf.Engine
	opts := badger.DefaultOptions
	opts.Dir, opts.ValueDir = folder, folder
	opts.NumCompactors = engine.NumCompactors
	opts.ValueLogWriteOptions.WriteBufferSize = 4 << 20
	opts.ValueLogFileSize = engine.VlogFileSize
	opts.MaxMemTableSize = engine.MaxMemTableSize
	opts.NumMemtables = engine.NumMemTables
	opts.NumLevelZeroTables = engine.NumL0Tables
	opts.NumLevelZeroTablesStall = engine.NumL0TablesStall
	opts.LevelOneSize = engine.L1Size
	opts.SyncWrites = engine.SyncWrite
	opts.MaxBlockCacheSize = engine.BlockCacheSize
	opts.MaxIndexCacheSize = engine.IndexCacheSize
	opts.CompactL0WhenClose = engine.CompactL0WhenClose
	opts.TableBuilderOptions.MaxTableSize = engine.MaxTableSize
	opts.TableBuilderOptions.SuRFStartLevel = engine.SurfStartLevel
	// A copy: the defaults' slice is shared by every database.
	compression := make([]options.CompressionType, len(opts.TableBuilderOptions.CompressionPerLevel))
	for level := range compression {
		compression[level] = config.ParseCompression(engine.Compression[level])
	}
	opts.TableBuilderOptions.CompressionPerLevel = compression
	return opts
}
