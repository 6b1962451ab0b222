// The verifier as WebAssembly, in Node: `CAIRN_WASM` is the module. The vectors are verified,
// and, when `CAIRN_RECEIPT` and `CAIRN_GENESIS` name them, a receipt of a running federation.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { load, FILE_BYTES_MAX } from './index.mjs'

const vectors = new URL('../../../docs/receipt-vectors/', import.meta.url)
const vector = (name) => readFileSync(new URL(name, vectors), 'utf8')
const wasm = readFileSync(process.env.CAIRN_WASM)
const { verify } = await load(wasm)

/** Each bit of one byte; the byte taken out, doubled. */
function * bentAt(bytes, at) {
  for (let bit = 0; bit < 8; bit++) {
    const bent = bytes.slice()
    bent[at] ^= 1 << bit
    yield bent
  }
  yield Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1)])
  yield Uint8Array.from([...bytes.subarray(0, at + 1), ...bytes.subarray(at)])
}

const strict = new TextDecoder('utf-8', { fatal: true })

/** Every changed byte: only what means the same (white space, escapes) may still be proof. */
function noOtherIsProof(text, judge) {
  const bytes = new TextEncoder().encode(text)
  const meaning = JSON.parse(text)
  const proven = judge(bytes)
  assert.equal(proven.valid, true, JSON.stringify(proven))
  let [tried, failed] = [0, 0]
  for (let at = 0; at < bytes.length; at++) {
    for (const bent of bentAt(bytes, at)) {
      tried++
      const verdict = judge(bent)
      if (!verdict.valid) {
        failed++
        assert.ok(verdict.field.length > 0 && verdict.reason.length > 0)
        continue
      }
      assert.deepEqual(JSON.parse(strict.decode(bent)), meaning, `byte ${at}`)
      assert.deepEqual(verdict, proven, `byte ${at}`)
    }
  }
  assert.ok(failed > 0.8 * tried, `${failed} of ${tried} changes fail`)
}

test('every vector is proven, with the verdict that is written down', () => {
  for (const { receipt, genesis, verdict } of JSON.parse(vector('proven.json'))) {
    assert.deepEqual(verify(vector(receipt), vector(genesis)), verdict, receipt)
  }
})

test('every broken vector fails for the reason that is written down', () => {
  for (const { name, receipt, genesis, field } of JSON.parse(vector('broken.json'))) {
    const verdict = verify(receipt, vector(genesis))
    assert.deepEqual([verdict.valid, verdict.field], [false, field], name)
  }
})

test('no changed byte of a receipt proves anything', () => {
  const genesis = vector('genesis.json')
  for (const name of ['refused.json', 'malformed.json']) {
    noOtherIsProof(vector(name), (bytes) => verify(bytes, genesis))
  }
})

test('no changed byte of a genesis is the genesis of that receipt', () => {
  const receipt = vector('committed.json')
  noOtherIsProof(vector('genesis.json'), (bytes) => verify(receipt, bytes))
})

test('a receipt of a running federation is proven, and no changed byte of it is', {
  skip: process.env.CAIRN_RECEIPT ? false : 'CAIRN_RECEIPT names none'
}, () => {
  const receipt = readFileSync(process.env.CAIRN_RECEIPT, 'utf8')
  const genesis = readFileSync(process.env.CAIRN_GENESIS, 'utf8')
  const proven = verify(receipt, genesis)
  assert.equal(proven.transaction_id, JSON.parse(JSON.parse(receipt).transaction).id)
  assert.equal(proven.outcome, 'committed')
  noOtherIsProof(receipt, (bytes) => verify(bytes, genesis))
  noOtherIsProof(genesis, (bytes) => verify(receipt, bytes))
})

test('any size is answered, and what is no file is told', () => {
  const [receipt, genesis] = [vector('committed.json'), vector('genesis.json')]
  for (const large of [' '.repeat(FILE_BYTES_MAX + 1), new Uint8Array(64 << 20)]) {
    const verdict = verify(large, genesis)
    assert.equal(verdict.reason, 'larger than 1048576 bytes, the most that are read')
    assert.equal(verify(receipt, large).field, 'genesis')
  }
  assert.deepEqual([verify('', genesis).valid, verify(receipt, '').valid], [false, false])
  assert.throws(() => verify(JSON.parse(receipt), genesis), /receipt: text or a Uint8Array/)
  assert.equal(verify(receipt, genesis).valid, true, 'and afterwards as before')
})

test('the module needs nothing of its host', async () => {
  const module = await WebAssembly.compile(wasm)
  assert.deepEqual(WebAssembly.Module.imports(module), [])
  const again = await load(module)
  assert.equal(again.verify(vector('weighted.json'), vector('genesis-weighted.json')).signed_power, 80)
  const response = new Response(wasm, { headers: { 'content-type': 'application/wasm' } })
  assert.equal((await load(Promise.resolve(response))).verify('', '').valid, false)
})
