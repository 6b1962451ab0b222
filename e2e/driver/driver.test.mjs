// The official BigchainDB driver from npm, unchanged, against a running federation.
// CAIRN_URLS names the validators' APIs, or one address of all, separated by commas.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import base58 from 'bs58'
import conditions from 'crypto-conditions'
import driver from 'bigchaindb-driver'
import WebSocket from 'ws'

const { Connection, Ed25519Keypair, Transaction } = driver
const urls = (process.env.CAIRN_URLS ?? 'http://127.0.0.1:9984').split(',')
const here = new Connection(`${urls[0]}/api/v1/`)
const there = new Connection(`${urls[urls.length - 1]}/api/v1/`)

const alice = new Ed25519Keypair()
const bob = new Ed25519Keypair()
const carol = new Ed25519Keypair()

const output = (key, amount = '1') =>
  Transaction.makeOutput(Transaction.makeEd25519Condition(key.publicKey), amount)

const signedCreate = (asset, metadata, outputs, issuer) =>
  Transaction.signTransaction(
    Transaction.makeCreateTransaction(asset, metadata, outputs, issuer.publicKey),
    issuer.privateKey,
  )

// What one validator decided, another shows a moment later.
async function eventually(read, wanted) {
  const deadline = Date.now() + 15_000
  for (;;) {
    const value = await read().catch((error) => error)
    if (wanted(value)) return value
    if (Date.now() > deadline) assert.fail(`still ${JSON.stringify(value)} (${value})`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const places = (outputs) => outputs.map((o) => `${o.transaction_id}:${o.output_index}`)

test('an asset is created, transferred and read back from another validator', async () => {
  const asset = { bicycle: { serial: `abc-${Date.now()}`, maker: 'Bündel & Söhne', weight: 9.75 } }
  const create = signedCreate(asset, { note: 'new' }, [output(alice)], alice)
  const created = await here.postTransactionCommit(create)
  assert.equal(created.id, create.id)

  const transfer = Transaction.signTransaction(
    Transaction.makeTransferTransaction([{ tx: create, output_index: 0 }], [output(bob)], { price: '100 euro' }),
    alice.privateKey,
  )
  await here.postTransactionCommit(transfer)

  const read = await eventually(() => there.getTransaction(transfer.id), (tx) => tx?.id === transfer.id)
  assert.deepEqual(read, JSON.parse(JSON.stringify(transfer)))
  assert.deepEqual((await there.getTransaction(create.id)).asset.data, asset)

  const history = await there.listTransactions(create.id)
  assert.deepEqual(history.map((tx) => tx.operation), ['CREATE', 'TRANSFER'])
  const transfers = await there.listTransactions(create.id, 'TRANSFER')
  assert.deepEqual(transfers.map((tx) => tx.id), [transfer.id])

  assert.deepEqual(places(await there.listOutputs(bob.publicKey, false)), [`${transfer.id}:0`])
  assert.deepEqual(places(await there.listOutputs(alice.publicKey, true)), [`${create.id}:0`])
  assert.deepEqual(places(await there.listOutputs(alice.publicKey, false)), [])

  const [height] = await there.listBlocks(transfer.id)
  const block = await there.getBlock(height)
  assert.equal(block.height, height)
  assert.ok(block.transactions.some((tx) => tx.id === transfer.id))
})

test('a double spend is refused, and the answer says so', async () => {
  const create = signedCreate({ ticket: Date.now() }, null, [output(alice)], alice)
  await here.postTransactionCommit(create)
  const to = (key) =>
    Transaction.signTransaction(
      Transaction.makeTransferTransaction([{ tx: create, output_index: 0 }], [output(key)], null),
      alice.privateKey,
    )
  await here.postTransactionCommit(to(bob))
  const second = to(carol)
  const error = await here.postTransactionCommit(second).then(
    () => assert.fail('the second spend was accepted'),
    (error) => error,
  )
  assert.match(String(error.status), /400/)
  // The driver keeps the status only; the words are upstream's.
  const answer = await fetch(`${urls[1 % urls.length]}/api/v1/transactions?mode=commit`, {
    method: 'POST',
    body: JSON.stringify(second),
  })
  assert.deepEqual(await answer.json(), {
    message: `Invalid transaction (DoubleSpend): input \`${create.id}\` was already spent`,
    status: 400,
  })
})

test('a divisible asset is split and its amounts are conserved', async () => {
  const create = signedCreate({ token: Date.now() }, null, [output(alice, '10')], alice)
  await here.postTransactionCommit(create)
  const split = Transaction.signTransaction(
    Transaction.makeTransferTransaction(
      [{ tx: create, output_index: 0 }],
      [output(bob, '4'), output(alice, '6')],
      { split: true },
    ),
    alice.privateKey,
  )
  await here.postTransactionCommit(split)
  const mine = await here.listOutputs(alice.publicKey, false)
  assert.ok(places(mine).includes(`${split.id}:1`))

  const tooMuch = Transaction.signTransaction(
    Transaction.makeTransferTransaction([{ tx: split, output_index: 0 }], [output(carol, '5')], null),
    bob.privateKey,
  )
  await assert.rejects(here.postTransactionCommit(tooMuch))
})

// The driver signs for one key at a time and leaves thresholds to its users, who are to hand in
// a function that signs.
const signedByAll = (transaction, ...signers) =>
  Transaction.delegateSignTransaction(transaction, (serialized, input) => {
    const { transaction_id: id, output_index: index } = input.fulfills
    const message = createHash('sha3-256').update(serialized + id + index).digest()
    const threshold = new conditions.ThresholdSha256()
    threshold.setThreshold(signers.length)
    for (const signer of signers) {
      const one = new conditions.Ed25519Sha256()
      one.sign(message, Buffer.from(base58.decode(signer.privateKey)))
      threshold.addSubfulfillment(one)
    }
    return threshold.serializeUri()
  })

test('an asset of two owners moves when both have signed', async () => {
  const both = Transaction.makeThresholdCondition(2, [
    Transaction.makeEd25519Condition(alice.publicKey, false),
    Transaction.makeEd25519Condition(bob.publicKey, false),
  ])
  const create = signedCreate({ deed: Date.now() }, null, [Transaction.makeOutput(both)], carol)
  await here.postTransactionCommit(create)
  for (const owner of [alice, bob]) {
    assert.ok(places(await here.listOutputs(owner.publicKey, false)).includes(`${create.id}:0`))
  }
  const transfer = Transaction.makeTransferTransaction([{ tx: create, output_index: 0 }], [output(carol)], null)
  await assert.rejects(here.postTransactionCommit(Transaction.signTransaction(transfer, alice.privateKey)), { status: /^400/ })
  const moved = await here.postTransactionCommit(signedByAll(transfer, alice, bob))
  assert.ok(places(await here.listOutputs(carol.publicKey, false)).includes(`${moved.id}:0`))
  for (const owner of [alice, bob]) {
    assert.ok(places(await here.listOutputs(owner.publicKey, true)).includes(`${create.id}:0`))
  }
})

test('assets are found by their words', async () => {
  const word = `kolibri${Date.now()}`
  const assets = ['red', 'green', 'blue'].map((colour) => ({ word, colour, maker: 'Bündel & Söhne', weight: 1.0e21 }))
  for (const asset of assets) {
    await here.postTransactionCommit(signedCreate(asset, null, [output(alice)], alice))
  }
  const found = await here.searchAssets(word)
  assert.deepEqual(found.map(({ data }) => data.colour).sort(), ['blue', 'green', 'red'])
  const [{ id, data }] = await here.searchAssets(`"${word}" -red -blue`)
  assert.deepEqual(data, assets[1])
  assert.deepEqual((await here.getTransaction(id)).asset.data, data)
  assert.equal((await here.searchAssets(word, 2)).length, 2)
  assert.deepEqual(await here.searchAssets(`${word}nowhere`), [])
  await eventually(() => there.searchAssets(word), (rows) => rows?.length === 3)
})

test('metadata is found by its words', async () => {
  const word = `tapir${Date.now()}`
  const create = signedCreate({ animal: 'none' }, { word, note: 'Größe: 3' }, [output(alice)], alice)
  await here.postTransactionCommit(create)
  const transfer = Transaction.signTransaction(
    Transaction.makeTransferTransaction([{ tx: create, output_index: 0 }], [output(bob)], { word, price: '100 euro' }),
    alice.privateKey,
  )
  await here.postTransactionCommit(transfer)
  const found = await here.searchMetadata(word)
  assert.deepEqual(found.map(({ id }) => id).sort(), [create.id, transfer.id].sort())
  assert.deepEqual(await here.searchMetadata(`"${word}" "100 euro"`), [{ metadata: { word, price: '100 euro' }, id: transfer.id }])
  assert.deepEqual(await here.searchAssets(word), [], 'metadata is no asset')
})

test('what is posted async or sync is committed a moment later', async () => {
  for (const post of ['postTransactionAsync', 'postTransactionSync']) {
    const create = signedCreate({ post, at: Date.now() }, null, [output(alice)], alice)
    assert.deepEqual(await here[post](create), JSON.parse(JSON.stringify(create)))
    await eventually(() => there.getTransaction(create.id), (tx) => tx?.id === create.id)
    const [height] = await eventually(() => here.listBlocks(create.id), (heights) => heights?.length === 1)
    assert.ok((await here.getBlock(height)).transactions.some(({ id }) => id === create.id))
  }
})

test('outputs are listed spent, unspent and both', async () => {
  const dora = new Ed25519Keypair()
  const create = signedCreate({ coin: Date.now() }, null, [output(dora), output(dora)], dora)
  await here.postTransactionCommit(create)
  const transfer = Transaction.signTransaction(
    Transaction.makeTransferTransaction([{ tx: create, output_index: 1 }], [output(bob)], null),
    dora.privateKey,
  )
  await here.postTransactionCommit(transfer)
  assert.deepEqual(places(await here.listOutputs(dora.publicKey)), [`${create.id}:0`, `${create.id}:1`])
  assert.deepEqual(places(await here.listOutputs(dora.publicKey, true)), [`${create.id}:1`])
  assert.deepEqual(places(await here.listOutputs(dora.publicKey, false)), [`${create.id}:0`])
})

test('a connection to several nodes uses them in turn', async () => {
  const nodes = new Connection(urls.map((url) => `${url}/api/v1/`))
  const create = signedCreate({ round: Date.now() }, null, [output(alice)], alice)
  await nodes.postTransactionCommit(create)
  for (const _ of urls) {
    const read = await eventually(() => nodes.getTransaction(create.id), (tx) => tx?.id === create.id)
    assert.equal(read.id, create.id)
  }
})

test('the stream tells of every transaction', async (flow) => {
  const { streams } = await (await fetch(`${urls[0]}/api/v1/`)).json()
  assert.match(streams, /^ws:\/\/[^/]+:\d+\/api\/v1\/streams\/valid_transactions$/)
  assert.equal(new URL(streams).hostname, new URL(urls[0]).hostname)
  const address = new URL(urls[0].replace('http', 'ws') + new URL(streams).pathname)
  // On the port for streams, whose address the root document tells, and on that of the API.
  const sockets = [streams, address.href].map((url) => new WebSocket(url))
  flow.after(() => sockets.forEach((socket) => socket.terminate()))
  const events = sockets.map((socket) => {
    const seen = []
    socket.on('message', (frame) => seen.push(JSON.parse(frame.toString())))
    return seen
  })
  await Promise.all(sockets.map((socket) => new Promise((resolve, reject) => {
    socket.on('open', resolve).on('error', reject)
  })))
  const create = signedCreate({ streamed: Date.now() }, null, [output(alice)], alice)
  await here.postTransactionCommit(create)
  const transfer = Transaction.signTransaction(
    Transaction.makeTransferTransaction([{ tx: create, output_index: 0 }], [output(bob)], null),
    alice.privateKey,
  )
  await here.postTransactionCommit(transfer)
  for (const seen of events) {
    const mine = () => seen.filter(({ asset_id: asset }) => asset === create.id)
    await eventually(async () => mine(), (events) => events.length === 2)
    const heights = [await here.listBlocks(create.id), await here.listBlocks(transfer.id)].flat()
    assert.deepEqual(mine(), [
      { height: heights[0], asset_id: create.id, transaction_id: create.id },
      { height: heights[1], asset_id: create.id, transaction_id: transfer.id },
    ])
  }
})

test('what is not there is 404', async () => {
  await assert.rejects(here.getTransaction('0'.repeat(64)))
})
