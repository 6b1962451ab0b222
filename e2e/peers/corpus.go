package main

// The bytes that are sent, made before any clock starts: hexadecimal digits without a pattern, as in Cairn's own
// corpus, because what can be compressed is cheaper to everyone.

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

const (
	keyBytes = 24
	// The same in base64.
	nameBytes = keyBytes / 3 * 4
	// Below that a transaction of the kvstore has no room for its own key.
	bytesMin = 64
	// How many different ones there are; then they come again, under new keys.
	bodies = 20_000
)

var numbers atomic.Uint64

// run tells this run's keys from another's.
var run = rand.Uint32()

// key is bytes that nobody had before, in no order: what fills a tree from its end only would be too kind.
func key() string {
	mixed := numbers.Add(1) * 0x9E37_79B9_7F4A_7C15 // odd, so that no two numbers meet
	return fmt.Sprintf("%016x%08x", mixed, run)
}

func digits(count int) []byte {
	raw := make([]byte, count/2+8)
	for at := 0; at+8 <= len(raw); at += 8 {
		binary.LittleEndian.PutUint64(raw[at:], rand.Uint64())
	}
	return []byte(hex.EncodeToString(raw))[:count]
}

// values are that many bytes each.
func values(size int) [][]byte {
	made := make([][]byte, bodies)
	for index := range made {
		made[index] = digits(size)
	}
	return made
}

// signed is a body, and what shows who wrote it.
type signed struct {
	body      []byte
	key       ed25519.PublicKey
	signature []byte
}

// sign makes bodies, signed by a thousand keys in turn, on all cores.
func sign(size int) []signed {
	keys := make([]ed25519.PrivateKey, 1000)
	for index := range keys {
		seed := make([]byte, ed25519.SeedSize)
		binary.BigEndian.PutUint64(seed, uint64(index))
		keys[index] = ed25519.NewKeyFromSeed(seed)
	}
	made := make([]signed, bodies)
	var wait sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for core := range cores {
		wait.Go(func() {
			for index := core; index < bodies; index += cores {
				key, body := keys[index%len(keys)], digits(size)
				made[index] = signed{body, key.Public().(ed25519.PublicKey), ed25519.Sign(key, body)}
			}
		})
	}
	wait.Wait()
	return made
}
