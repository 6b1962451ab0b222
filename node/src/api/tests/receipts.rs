//! `POST /api/v2/receipts/verify`, whole answers.

use super::*;

const PATH: &str = "/api/v2/receipts/verify";

#[tokio::test]
async fn a_receipt_is_verified_and_one_that_proves_nothing_is_told_why() {
    let world = World::new();
    let made = asset("a");
    world.commit(&made).await;
    // Both hold at the door: the block decides which one is refused.
    let body = format!("[{},{}]", text(&given(&made, 2)), text(&given(&made, 3)));
    world.post("/api/v2/transactions?wait=committed", body).await;
    for id in [made.id, given(&made, 2).id, given(&made, 3).id] {
        let receipt = world.get(&format!("/api/v2/transactions/{id}/receipt")).await.text;
        let proven = cairn_verifier::verify(receipt.as_bytes(), &world.trusted()).unwrap();
        assert_eq!(proven.transaction_id, Some(id.0));
        let reply = world.post(PATH, receipt.clone()).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, proven.to_json()));
        assert_eq!(reply.header("cairn-height"), "2");

        let bent = receipt.replacen("\"index\": ", "\"index\": 1", 1);
        let invalid = cairn_verifier::verify(bent.as_bytes(), &world.trusted()).unwrap_err();
        let reply = world.post(&format!("{PATH}/"), bent).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, invalid.to_json()));
        assert_eq!(reply.json()["field"], "receipt.path");
    }
}

/// What is JSON is a question that has an answer; what is not is no question.
#[tokio::test]
async fn what_is_no_receipt_is_a_no_and_what_is_no_json_is_refused() {
    let world = World::new();
    let json = "application/json";
    let large = " ".repeat((1 << 20) + 1);
    #[rustfmt::skip]
    let table = [
        (PATH,   json,                              "{}",           200, "",               "receipt.format"),
        (PATH,   "Application/JSON; charset=utf-8", "[1, null]",    400, "JSON_SYNTAX",    "object"),
        (PATH,   json,                              "{",            400, "JSON_SYNTAX",    "EOF"),
        (PATH,   json,                              "{}{}",         400, "JSON_SYNTAX",    "trailing"),
        (PATH,   json,                              " \n",          400, "JSON_EMPTY",     "empty"),
        (PATH,   json,                              large.as_str(), 413, "BODY_TOO_LARGE", "1048576 bytes"),
        (PATH,   "",                                "{}",           415, "MEDIA_TYPE",     "application/json"),
        (PATH,   "text/plain",                      "{}",           415, "MEDIA_TYPE",     "application/json"),
        (PATH,   "application/x-ndjson",            "{}",           415, "MEDIA_TYPE",     "application/json"),
        ("/api/v2/receipts/verify?quick=1", json,   "{}",           400, "PARAM_UNKNOWN",  "quick"),
        ("/api/v2/receipts",                json,   "{}",           404, "NOT_FOUND",      "Not found"),
    ];
    for (path, kind, body, status, code, piece) in table {
        let reply = world.send("POST", path, kind, body.to_owned()).await;
        assert_eq!(reply.status.as_u16(), status, "{path} {body:.20}: {}", reply.text);
        let answer = reply.json();
        if status == 200 {
            assert_eq!((&answer["valid"], &answer["field"]), (&json!(false), &json!(piece)));
        } else {
            assert_eq!(answer["code"], code, "{body:.20}");
            let detail = answer["detail"].as_str().unwrap();
            assert!(detail.contains(piece), "{body:.20}: {detail}");
        }
    }
    let reply = world.get(PATH).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
}
