// The official BigchainDB driver from npm, unchanged, against a running federation.
// CAIRN_URLS names the validators' APIs, separated by commas.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import driver from 'bigchaindb-driver'

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

test('a two-of-two output needs both signatures', async () => {
  const both = Transaction.makeThresholdCondition(2, [
    Transaction.makeEd25519Condition(alice.publicKey, false),
    Transaction.makeEd25519Condition(bob.publicKey, false),
  ])
  const create = signedCreate({ deed: Date.now() }, null, [Transaction.makeOutput(both)], carol)
  await here.postTransactionCommit(create)
  assert.ok(places(await here.listOutputs(bob.publicKey, false)).includes(`${create.id}:0`))
})

test('what is not there is 404', async () => {
  await assert.rejects(here.getTransaction('0'.repeat(64)))
})
