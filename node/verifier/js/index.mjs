// Verifies Cairn receipts, in browsers and Node, without trusting any server.
//
//   import { load } from './index.mjs'
//   const { verify } = await load(await readFile('cairn_verifier_wasm.wasm'))   // or fetch(…)
//   const verdict = verify(receiptText, genesisText)
//   verdict.valid ? verdict.transaction_id : `${verdict.field}: ${verdict.reason}`
//
// Bring the genesis along: whoever also takes it from the server proves nothing.

/** Largest file that the verifier reads. */
export const FILE_BYTES_MAX = 1 << 20

/**
 * Starts the verifier. `module` is what holds the .wasm file: its bytes, a `Response` or a
 * promise of one (`fetch('cairn_verifier_wasm.wasm')`), or a `WebAssembly.Module`.
 */
export async function load(module) {
  const source = await module
  const bytes = typeof Response !== 'undefined' && source instanceof Response ? await source.arrayBuffer() : source
  const compiled = bytes instanceof WebAssembly.Module ? bytes : await WebAssembly.compile(bytes)
  // It imports nothing: it cannot reach clock, network or page.
  const { exports } = await WebAssembly.instantiate(compiled, {})
  return { verify: (receipt, genesis) => verify(exports, receipt, genesis) }
}

/** Both files as text or bytes; `{ valid: true, … }`, or `{ valid: false, field, reason }`. */
function verify({ memory, receipt_room, genesis_room, judge, verdict_at }, receipt, genesis) {
  for (const [name, file, room] of [['receipt', receipt, receipt_room], ['genesis', genesis, genesis_room]]) {
    const bytes = typeof file === 'string' ? new TextEncoder().encode(file) : file
    if (!(bytes instanceof Uint8Array)) throw new TypeError(`${name}: text or a Uint8Array would be fine`)
    // One byte more than it reads is enough for it to say that the file is too large.
    const written = bytes.subarray(0, FILE_BYTES_MAX + 1)
    // The memory may grow, and then has a new buffer: first the room, then the view.
    const at = room(written.length) >>> 0
    new Uint8Array(memory.buffer, at, written.length).set(written)
  }
  const length = judge()
  return JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, verdict_at() >>> 0, length)))
}
