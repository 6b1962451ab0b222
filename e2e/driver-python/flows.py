"""The official BigchainDB driver from PyPI, unchanged, against a running federation.

CAIRN_URLS names the validators' APIs, separated by commas. Each test is a flow of the driver's
documentation; what one validator decided, another shows a moment later.
"""

import os
import time
import unittest

from bigchaindb_driver import BigchainDB
from bigchaindb_driver.crypto import generate_keypair
from bigchaindb_driver.exceptions import BadRequest, NotFoundError

URLS = os.environ.get("CAIRN_URLS", "http://127.0.0.1:9984").split(",")
HERE = BigchainDB(URLS[0])
THERE = BigchainDB(URLS[-1])

ALICE, BOB, CAROL = generate_keypair(), generate_keypair(), generate_keypair()


def word(beginning):
    """A word that no earlier run has used."""
    return f"{beginning}{time.time_ns()}"


def eventually(read, wanted):
    """Reads until the answer is the wanted one."""
    deadline = time.monotonic() + 15
    while True:
        try:
            answer = read()
        except NotFoundError as error:
            answer = error
        if wanted(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r}")
        time.sleep(0.02)


def created(data, metadata=None, recipients=None, issuer=ALICE):
    """A signed CREATE."""
    prepared = HERE.transactions.prepare(
        operation="CREATE",
        signers=issuer.public_key,
        recipients=recipients,
        asset={"data": data},
        metadata=metadata,
    )
    return HERE.transactions.fulfill(prepared, private_keys=issuer.private_key)


def prepared_transfer(spent, index, recipients, metadata=None):
    """A TRANSFER of one output, not yet signed."""
    output = spent["outputs"][index]
    asset = spent["id"] if spent["operation"] == "CREATE" else spent["asset"]["id"]
    return HERE.transactions.prepare(
        operation="TRANSFER",
        asset={"id": asset},
        inputs={
            "fulfillment": output["condition"]["details"],
            "fulfills": {"output_index": index, "transaction_id": spent["id"]},
            "owners_before": output["public_keys"],
        },
        recipients=recipients,
        metadata=metadata,
    )


def transferred(spent, index, recipients, *signers, metadata=None):
    """A signed TRANSFER of one output."""
    prepared = prepared_transfer(spent, index, recipients, metadata)
    keys = [signer.private_key for signer in signers]
    return HERE.transactions.fulfill(prepared, private_keys=keys)


def places(outputs):
    return [(output["transaction_id"], output["output_index"]) for output in outputs]


class Flows(unittest.TestCase):
    def test_an_asset_is_created_transferred_and_read_back(self):
        data = {"bicycle": {"serial": word("abc"), "maker": "Bündel & Söhne", "weight": 9.75, "frame": 2**70}}
        create = created(data, {"planet": "earth"})
        self.assertEqual(HERE.transactions.send_commit(create), create)
        transfer = transferred(create, 0, BOB.public_key, ALICE, metadata={"price": 1.0})
        self.assertEqual(HERE.transactions.send_commit(transfer), transfer)
        read = eventually(lambda: THERE.transactions.retrieve(transfer["id"]), lambda answer: answer == transfer)
        self.assertEqual(read["outputs"][0]["public_keys"], [BOB.public_key])
        self.assertEqual(HERE.transactions.retrieve(create["id"]), create)
        history = HERE.transactions.get(asset_id=create["id"])
        self.assertEqual(history, [create, transfer])
        self.assertEqual(HERE.transactions.get(asset_id=create["id"], operation="CREATE"), [create])
        self.assertEqual(HERE.transactions.get(asset_id=create["id"], operation="TRANSFER"), [transfer])

    def test_async_and_sync_are_committed_a_moment_later(self):
        for send in (HERE.transactions.send_async, HERE.transactions.send_sync):
            create = created({"token": word("later")})
            self.assertEqual(send(create), create)
            eventually(lambda: THERE.transactions.retrieve(create["id"]), lambda answer: answer == create)

    def test_a_double_spend_is_refused_in_upstreams_words(self):
        create = created({"ticket": word("ticket")})
        HERE.transactions.send_commit(create)
        HERE.transactions.send_commit(transferred(create, 0, BOB.public_key, ALICE))
        with self.assertRaises(BadRequest) as refused:
            HERE.transactions.send_commit(transferred(create, 0, CAROL.public_key, ALICE))
        text = f"Invalid transaction (DoubleSpend): input `{create['id']}` was already spent"
        self.assertEqual(refused.exception.info, {"message": text, "status": 400})

    def test_a_divisible_asset_is_split(self):
        recipients = [([BOB.public_key], 4), ([ALICE.public_key], 6)]
        create = created({"token": word("coin")}, recipients=recipients)
        HERE.transactions.send_commit(create)
        parts = [([CAROL.public_key], 1), ([BOB.public_key], 3)]
        split = transferred(create, 0, parts, BOB)
        HERE.transactions.send_commit(split)
        self.assertEqual([output["amount"] for output in split["outputs"]], ["1", "3"])
        self.assertIn((split["id"], 0), places(HERE.outputs.get(CAROL.public_key, False)))
        with self.assertRaises(BadRequest):
            HERE.transactions.send_commit(transferred(split, 1, [([CAROL.public_key], 4)], BOB))

    def test_an_asset_of_two_owners_moves_when_both_have_signed(self):
        owners = (ALICE.public_key, BOB.public_key)
        create = created({"car": word("vin")}, recipients=owners, issuer=CAROL)
        self.assertEqual(create["outputs"][0]["condition"]["details"]["type"], "threshold-sha-256")
        HERE.transactions.send_commit(create)
        for owner in owners:
            self.assertIn((create["id"], 0), places(HERE.outputs.get(owner, False)))
        transfer = transferred(create, 0, CAROL.public_key, ALICE, BOB)
        HERE.transactions.send_commit(transfer)
        self.assertIn((transfer["id"], 0), places(HERE.outputs.get(CAROL.public_key, False)))

    def test_outputs_are_listed_spent_unspent_and_both(self):
        dora = generate_keypair()
        create = created({"coin": word("two")}, recipients=[([dora.public_key], 1), ([dora.public_key], 2)])
        HERE.transactions.send_commit(create)
        HERE.transactions.send_commit(transferred(create, 1, [([BOB.public_key], 2)], dora))
        first, second = (create["id"], 0), (create["id"], 1)
        self.assertEqual(places(HERE.outputs.get(dora.public_key)), [first, second])
        self.assertEqual(places(HERE.outputs.get(dora.public_key, True)), [second])
        self.assertEqual(places(HERE.outputs.get(dora.public_key, spent=False)), [first])

    def test_blocks_tell_where_a_transaction_is(self):
        create = created({"in": word("block")})
        HERE.transactions.send_commit(create)
        height = HERE.blocks.get(txid=create["id"])
        block = HERE.blocks.retrieve(str(height))
        self.assertEqual(block["height"], height)
        self.assertIn(create, block["transactions"])
        self.assertIsNone(HERE.blocks.get(txid="0" * 64))

    def test_assets_and_metadata_are_found_by_their_words(self):
        bird, beast = word("kolibri"), word("tapir")
        first = created({"bird": bird, "size": 1.50}, {"beast": beast})
        second = created({"bird": bird, "size": 2**70})
        for create in (first, second):
            HERE.transactions.send_commit(create)
        found = HERE.assets.get(search=bird)
        rows = [{"data": create["asset"]["data"], "id": create["id"]} for create in (first, second)]
        self.assertCountEqual(found, rows)
        self.assertEqual(len(HERE.assets.get(search=bird, limit=1)), 1)
        self.assertEqual(HERE.metadata.get(search=beast), [{"metadata": {"beast": beast}, "id": first["id"]}])
        self.assertEqual(HERE.assets.get(search=beast), [], "metadata is no asset")
        with self.assertRaises(BadRequest) as empty:
            HERE.assets.get(search="")
        self.assertEqual(empty.exception.info, {"message": "text_search cannot be empty", "status": 400})

    def test_several_nodes_are_asked_in_turn(self):
        nodes = BigchainDB(*URLS)
        create = created({"round": word("robin")})
        nodes.transactions.send_commit(create)
        for _ in URLS:
            eventually(lambda: nodes.transactions.retrieve(create["id"]), lambda answer: answer == create)

    def test_what_is_not_there_is_not_found(self):
        with self.assertRaises(NotFoundError):
            HERE.transactions.retrieve("0" * 64)

    def test_the_root_documents_say_what_there_is(self):
        self.assertEqual(HERE.info()["software"], "BigchainDB")
        self.assertEqual(HERE.api_info()["transactions"], "/transactions/")


if __name__ == "__main__":
    unittest.main(verbosity=2)
