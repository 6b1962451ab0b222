// The official object mapper from npm, unchanged, against a running federation: the flows of its README.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import orm from 'bigchaindb-orm'

const Orm = orm.default ?? orm
const [url] = (process.env.CAIRN_URLS ?? 'http://127.0.0.1:9984').split(',')
const mapper = new Orm(`${url}/api/v1/`, { app_id: `cairn-${Date.now()}` })
mapper.define('bicycle', 'https://schema.org/v1/myModel')
const alice = new mapper.driver.Ed25519Keypair()

test('an object is created, retrieved and appended to', async () => {
  const created = await mapper.models.bicycle.create({ keypair: alice, data: { gears: 3 } })
  assert.deepEqual(created.data, { gears: 3 })
  const [found] = await mapper.models.bicycle.retrieve(created.id)
  assert.equal(found.id, created.id)
  const appended = await found.append({ toPublicKey: alice.publicKey, keypair: alice, data: { gears: 7 } })
  assert.deepEqual(appended.data, { gears: 7 })
  await mapper.models.bicycle.create({ keypair: alice, data: { gears: 1 } })
  const all = await mapper.models.bicycle.retrieve()
  assert.deepEqual(all.map(({ data }) => data.gears).sort(), [1, 7])
  const { transactionHistory } = all.find(({ id }) => id === created.id)
  assert.deepEqual(transactionHistory.map(({ operation }) => operation), ['CREATE', 'TRANSFER'])
})

// It gives the object to "BurnBurn…", which is no point of the curve. Cairn refuses such keys
// everywhere: who mistypes one would burn without wanting to.
test('what is burnt to a key that is none is refused', async () => {
  const created = await mapper.models.bicycle.create({ keypair: alice, data: { gears: 3 } })
  await assert.rejects(created.burn({ keypair: alice }), { status: /^400/ })
  const [still] = await mapper.models.bicycle.retrieve(created.id)
  assert.deepEqual(still.data, { gears: 3 })
})
