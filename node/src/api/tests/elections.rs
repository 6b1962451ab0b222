//! Elections over the API of BigchainDB 2.x: taken in, read back, refused in its words.

use cairn_ledger::{
    election::Electorate,
    ids::PublicKey,
    signature::SigningKey,
    transaction::{
        Operation,
        build::{self, Share, Spend},
    },
};

use super::*;

const PROPOSAL: &str = r#"{"node_id":"af1c9d45","power":1,"public_key":{"type":"ed25519-base64","value":"WlKxCl5KJSZxwHVIXxJBn0r4uTgwz2dbOuT1XQzGrCw="},"seed":"5ba2dcd6-9ef8-4a9e-b59a-1a5d2d2f5d2c"}"#;

fn signed(bytes: Vec<u8>) -> Signed {
    Signed { id: transaction::claimed_id(&bytes).unwrap(), bytes: bytes.into() }
}

/// A proposal about a validator, by a member or anyone else.
fn proposed(electorate: &Electorate, data: &str, by: &SigningKey) -> Signed {
    signed(build::election(Operation::ValidatorElection, data, electorate, by).unwrap())
}

#[tokio::test]
async fn an_election_and_its_votes_are_taken_in_and_read_back() {
    let world = World::new();
    let federation = &world.order.federation;
    let election = proposed(&federation.electorate(), PROPOSAL, &federation.member(0));
    let vote = federation.vote(&election, 1, None);
    // A delegate is given votes by a TRANSFER, which then is not the newest transaction.
    let spend = [Spend::of(federation.member(2).public(), election.output(2))];
    let share = [Share::to(key(9).public(), 1)];
    let signers = [&federation.member(2)];
    let moved = build::transfer(election.id, "null", &spend, &share, &signers).unwrap();
    let moved = signed(moved);
    for one in [&election, &moved, &vote] {
        world.commit(one).await;
    }
    let (a, b, c) = (text(&election), text(&moved), text(&vote));
    let by = |rest: &str| format!("/api/v1/transactions?asset_id={}{rest}", election.id);
    let outputs = |of: &str| format!(r#"[{{"output_index":0,"transaction_id":"{of}"}}]"#);
    let box_key = PublicKey(election.id.0);
    #[rustfmt::skip]
    let table = [
        (format!("/api/v1/transactions/{}", election.id), a.clone(),                "as it came"),
        (format!("/api/v1/transactions/{}", vote.id),     c.clone(),                "as it came"),
        (by(""),                                          format!("[{a},{b},{c}]"), "an asset like any"),
        (by("&operation=TRANSFER"),                       format!("[{b}]"),         "a VOTE is no TRANSFER"),
        (by("&operation=CREATE"),                         "[]".to_owned(),          "an election is no CREATE"),
        (by("&last_tx=true"),                             format!("[{c}]"),         "the newest"),
        (by("&last_tx=true&operation=TRANSFER"),          format!("[{b}]"),         "the newest TRANSFER"),
        (by("&last_tx=true&operation=CREATE"),            "[]".to_owned(),          "none"),
        (format!("/api/v1/outputs?public_key={box_key}"), outputs(&vote.id.to_string()), "who said yes"),
        ("/api/v1/blocks/1".to_owned(), format!(r#"{{"height":1,"transactions":[{a}]}}"#), "a block"),
    ];
    for (path, body, why) in table {
        let reply = world.get(&path).await;
        assert_eq!((reply.status, reply.text), (StatusCode::OK, body), "{why}: {path}");
    }
    let wrong = world.get(&by("&operation=VOTE")).await;
    let told = json!({"message": {"operation": r#"Operation must be "CREATE" or "TRANSFER""#}});
    assert_eq!((wrong.status, wrong.json()), (StatusCode::BAD_REQUEST, told));
    let receipt = world.get(&format!("/api/v2/transactions/{}/receipt", vote.id)).await;
    let proven = cairn_verifier::verify(receipt.text.as_bytes(), &world.trusted()).unwrap();
    assert_eq!(proven.transaction_id, Some(vote.id.0));
}

#[tokio::test]
async fn what_is_no_election_of_this_federation_hears_upstreams_words() {
    let world = World::new();
    let federation = &world.order.federation;
    let (electorate, member) = (federation.electorate(), federation.member(0));
    let others = Federation::new(3).electorate();
    let election = federation.election(0, "two may say yes");
    world.commit(&election).await;
    world.commit(&federation.vote(&election, 0, None)).await;
    world.commit(&federation.vote(&election, 1, Some(key(9).public()))).await;
    let power = PROPOSAL.replace(r#""power":1"#, r#""power":2"#);
    let shape = PROPOSAL.replace(r#""power":1"#, r#""power":"1""#);
    let stranger = proposed(&electorate, PROPOSAL, &key(1));
    #[rustfmt::skip]
    let table = [
        (text(&stranger), "ELECTION_PROPOSER", " (InvalidProposer): Public key is not a part of the validator set".to_owned()),
        (spoiled(&stranger), "SIG_INVALID", " (InvalidSignature): Transaction signature is invalid.".to_owned()),
        (text(&proposed(&others, PROPOSAL, &member)), "ELECTION_OUTPUTS", " (UnequalValidatorSet): Validator set much be exactly same to the outputs of election".to_owned()),
        (text(&proposed(&electorate, &power, &member)), "ELECTION_POWER", " (InvalidPowerChange): `power` change must be less than 1/3 of total power".to_owned()),
        (text(&proposed(&electorate, &shape, &member)), "FIELD_TYPE", " schema: '1' is not of type 'integer'".to_owned()),
        (text(&federation.vote(&election, 0, Some(key(3).public()))), "DOUBLE_SPEND", format!(" (DoubleSpend): input `{}` was already spent", election.id)),
        (text(&federation.vote(&election, 2, None)), "ELECTION_CONCLUSION_UNSUPPORTED", format!(
            " (ValidationError): this vote could conclude the election `{}`, and this version cannot change validators or chains yet: with it 3 of the power of 4 would be given, less than two thirds would be fine",
            election.id
        )),
    ];
    for (body, code, why) in table {
        let reply = world.post("/api/v1/transactions", body.clone()).await;
        let wanted = json!({"message": format!("Invalid transaction{why}"), "status": 400});
        assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, wanted));
        let reply = world.post("/api/v2/transactions", body).await;
        assert_eq!(reply.json()["code"], code);
    }
}
