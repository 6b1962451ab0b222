//! Assets, where they came from, and who holds what.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn an_asset_says_what_it_is_and_who_holds_it() {
    let story = Story::tell().await;
    let Story { made, split, moved, .. } = &story;
    let path = format!("/assets/{}", made.id);
    let holder = |of: &Signed, index: u32, owners: &[PublicKey], amount: &str| json!({"transaction_id": of.id, "output_index": index, "public_keys": owners, "amount": amount});
    let whole =
        |holders: Vec<Value>, last: &Signed, operation: &str, decided: Value, as_of: u64| {
            let mut last = json!({"id": last.id, "operation": operation, "metadata": null});
            last.as_object_mut().unwrap().extend(decided.as_object().unwrap().clone());
            json!({
                "id": made.id, "data": {"note": "ten"}, "metadata": null, "issuers": [public(1)],
                "amount": "10", "created": made_at(1, 0), "last_transaction": last,
                "holders": holders, "holders_complete": true, "as_of": as_of,
            })
        };
    let held = [
        holder(moved, 0, &[public(4)], "3"),
        holder(moved, 1, &[public(2)], "1"),
        holder(split, 1, &[public(1), public(3)], "6"),
    ];
    let now = story.json(&path).await;
    assert_eq!(now, whole(held.to_vec(), moved, "TRANSFER", made_at(3, 0), 3));
    let before = story.get(&format!("{path}?as_of=1")).await;
    let first = vec![holder(made, 0, &[public(1)], "10")];
    assert_eq!(before.json(), whole(first, made, "CREATE", made_at(1, 0), 1));
    assert_eq!(before.header("cairn-height"), "1");
    for path in [
        format!("/assets/{}?as_of=0", made.id),
        format!("/assets/{}?as_of=1", story.other.id),
        format!("/assets/{}", split.id),
        format!("/assets/{}", story.refused.id),
        "/assets/x".to_owned(),
        "/assets/%ff".to_owned(),
        format!("/assets/{}/history", split.id),
        format!("/assets/{}/history?as_of=0", made.id),
    ] {
        let reply = story.get(&path).await;
        let answer = (reply.status.as_u16(), reply.json()["code"].clone());
        assert_eq!(answer, (404, json!("NOT_FOUND")), "{path}");
    }
}

#[tokio::test]
async fn provenance_is_every_transaction_in_order_and_paged() {
    let story = Story::tell().await;
    let Story { made, split, moved, .. } = &story;
    let path = format!("/assets/{}/history", made.id);
    let step = |of: &Signed, operation: &str, decided: Value, inputs: Value, outputs: Value| {
        let mut step = json!({
            "id": of.id, "operation": operation, "metadata": null, "inputs": inputs, "outputs": outputs,
        });
        step.as_object_mut().unwrap().extend(decided.as_object().unwrap().clone());
        step
    };
    let output = |index: u32, owners: &[PublicKey], amount: &str, by: Option<&Signed>| {
        let by = by.map(|by| by.id);
        json!({"output_index": index, "public_keys": owners, "amount": amount, "spent_by": by})
    };
    let spends = |owner: u32, of: &Signed, amount: &str| {
        let output = json!({"transaction_id": of.id, "output_index": 0});
        json!([{"owners_before": [public(owner)], "fulfills": output, "amount": amount}])
    };
    let issued = json!([{"owners_before": [public(1)], "fulfills": null, "amount": null}]);
    let steps = vec![
        step(
            made,
            "CREATE",
            made_at(1, 0),
            issued.clone(),
            json!([output(0, &[public(1)], "10", Some(split))]),
        ),
        step(
            split,
            "TRANSFER",
            made_at(2, 0),
            spends(1, made, "10"),
            json!([
                output(0, &[public(2)], "4", Some(moved)),
                output(1, &[public(1), public(3)], "6", None),
            ]),
        ),
        step(
            moved,
            "TRANSFER",
            made_at(3, 0),
            spends(2, split, "4"),
            json!([output(0, &[public(4)], "3", None), output(1, &[public(2)], "1", None),]),
        ),
    ];
    let page = story.json(&path).await;
    assert_eq!(page, json!({"as_of": 3, "items": steps, "next_cursor": null}));
    for limit in 1..4 {
        assert_eq!(story.pages(&path, limit).await, steps, "{limit} at a time");
        let backwards = story.pages(&format!("{path}?order=desc"), limit).await;
        assert!(backwards.iter().eq(steps.iter().rev()), "{limit} at a time: {backwards:?}");
    }
    let early = story.pages(&format!("{path}?as_of=2"), 1).await;
    assert_eq!(early.len(), 2);
    assert_eq!(early[1]["outputs"][0]["spent_by"], json!(null), "not spent by then");
    assert_eq!(early[0], steps[0]);
}

#[tokio::test]
async fn pages_of_provenance_stay_at_the_height_of_the_first() {
    let story = Story::tell().await;
    let Story { made, moved, .. } = &story;
    let path = format!("/assets/{}/history", made.id);
    let last = story.json(&path).await["items"][2].clone();
    let first = story.json(&format!("{path}?limit=2")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let on = transfer(made.id, &[(&key(4), moved.output(0))], &[(&[public(6)], 3)]);
    story.world.order.federation.commit(&*story.world.store, &[on.bytes]);
    let rest = story.get(&format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.json(), json!({"as_of": 3, "items": [last], "next_cursor": null}));
    assert_eq!(rest.header("cairn-height"), "3");
    assert_eq!(story.pages(&path, 9).await.len(), 4);
    let foreign = [
        format!("{path}?order=desc&cursor={cursor}"),
        format!("{path}?as_of=2&cursor={cursor}"),
        format!("{path}?cursor={cursor}A"),
        format!("{path}?cursor="),
        format!("/assets/{}/history?cursor={cursor}", story.other.id),
        format!("/blocks?cursor={cursor}"),
        format!("/assets?cursor={cursor}"),
    ];
    for path in foreign {
        let reply = story.get(&path).await;
        let answer = (reply.status.as_u16(), reply.json()["code"].clone());
        assert_eq!(answer, (400, json!("CURSOR_INVALID")), "{path}");
    }
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn assets_are_found_by_what_they_say() {
    let story = Story::tell().await;
    let row = |of: &Signed, note: &str, amount: &str, created: Value| {
        json!({
            "id": of.id, "data": {"note": note}, "metadata": null, "issuers": [public(1)],
            "amount": amount, "created": created,
        })
    };
    let ten = row(&story.made, "ten", "10", made_at(1, 0));
    let other = row(&story.other, "other", "1", made_at(2, 1));
    let filter = |text: &str| format!("/assets?filter={}", encoded(text));
    #[rustfmt::skip]
    let table = [
        ("/assets".to_owned(),                             vec![&ten, &other], "in the order of the chain"),
        ("/assets?sort=-height".to_owned(),                vec![&other, &ten], "the newest first"),
        ("/assets?sort=asset.note".to_owned(),             vec![&other, &ten], "by a field"),
        ("/assets?sort=-asset.note".to_owned(),            vec![&ten, &other], "the other way round"),
        (filter(r#"asset.note = "ten""#),                  vec![&ten],         "a field is that"),
        (filter(r#"asset.note ^= "o" or exists asset.x"#), vec![&other],       "or begins so"),
        (filter("exists asset.colour"),                    vec![],             "nobody has it"),
        ("/assets?as_of=1".to_owned(),                     vec![&ten],         "those that were there"),
        ("/assets?as_of=0".to_owned(),                     vec![],             "before the first"),
    ];
    for (path, wanted, why) in table {
        for limit in [1, 1000] {
            let found = story.pages(&path, limit).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{why}: {path}");
        }
    }
    let page = story.json("/assets?limit=2").await;
    assert_eq!(page, json!({"as_of": 3, "items": [ten, other], "next_cursor": null}));
    let explained = story.json("/assets?explain=true").await;
    assert!(explained["explain"]["index"].is_string(), "{explained}");

    // Pages that follow are as of the first, at any validator, with any limit.
    let first = story.get("/assets?limit=1").await;
    assert_eq!(first.header("cairn-height"), "3");
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    story.world.order.federation.commit(&*story.world.store, &[asset("later").bytes]);
    let rest = story.json(&format!("/assets?limit=9&cursor={cursor}&as_of=3")).await;
    assert_eq!(rest, json!({"as_of": 3, "items": [other], "next_cursor": null}));
    assert_eq!(story.pages("/assets", 2).await.len(), 3);
    #[rustfmt::skip]
    let table = [
        (filter("asset"),                                  "FILTER_SYNTAX",  "no condition"),
        (filter(""),                                       "FILTER_SYNTAX",  "nothing"),
        (filter(&"(".repeat(3000)),                        "FILTER_SYNTAX",  "deep"),
        ("/assets?sort=colour".to_owned(),                 "PARAM_INVALID",  "no path"),
        ("/assets?sort=".to_owned(),                       "PARAM_INVALID",  "nothing"),
        ("/assets?sort=--height".to_owned(),               "PARAM_INVALID",  "twice round"),
        (format!("/assets?sort=asset.note&cursor={cursor}"), "CURSOR_INVALID", "of another order"),
        (format!("/outputs?cursor={cursor}"),              "CURSOR_INVALID", "of another list"),
        ("/assets?spent=true".to_owned(),                  "PARAM_UNKNOWN",  "of outputs only"),
    ];
    for (path, code, why) in table {
        let reply = story.get(&path).await;
        let answer = (reply.status.as_u16(), reply.json()["code"].clone());
        assert_eq!(answer, (400, json!(code)), "{why}: {path}");
    }
}

#[tokio::test]
async fn outputs_are_found_by_owner_asset_and_whether_they_are_spent() {
    let story = Story::tell().await;
    let Story { made, split, moved, other, .. } = &story;
    let all = story.pages("/outputs", 1000).await;
    let shared = json!({
        "transaction_id": split.id, "output_index": 1, "asset_id": made.id, "amount": "6",
        "public_keys": [public(1), public(3)], "metadata": null, "created": made_at(2, 0),
        "condition": serde_json::from_slice::<Value>(&split.bytes).unwrap()["outputs"][1]["condition"],
        "spent_by": null,
    });
    assert_eq!(all[2], shared);
    assert_eq!(all[0]["spent_by"], json!(split.id));
    let name = |row: &Value| {
        let index = row["output_index"].as_u64().unwrap();
        (row["transaction_id"].as_str().unwrap().to_owned(), index)
    };
    let is = |of: &Signed, index: u64| (of.id.to_string(), index);
    let (one, two, nobody) = (public(1), public(2), public(9));
    let (a, b, c) = (is(made, 0), is(split, 0), is(split, 1));
    let (d, e, f) = (is(other, 0), is(moved, 0), is(moved, 1));
    let of = made.id;
    #[rustfmt::skip]
    let table = [
        ("".to_owned(),                                  vec![&a, &b, &c, &d, &e, &f], "all"),
        ("sort=-height".to_owned(),                      vec![&f, &e, &d, &c, &b, &a], "backwards"),
        ("spent=true".to_owned(),                        vec![&a, &b],                 "spent"),
        ("spent=false".to_owned(),                       vec![&c, &d, &e, &f],         "held"),
        (format!("public_key={one}"),                    vec![&a, &c, &d],             "hers"),
        (format!("public_key={one}&spent=false"),        vec![&c, &d],                 "hers still"),
        (format!("public_key={one}&spent=false&as_of=1"), vec![&a],                    "hers then"),
        (format!("public_key={two}&asset_id={of}"),      vec![&b, &f],                 "his of that"),
        (format!("asset_id={of}&spent=false"),           vec![&c, &e, &f],             "who holds it"),
        (format!("asset_id={}", split.id),               vec![],                       "no asset"),
        (format!("public_key={nobody}"),                 vec![],                       "nobody's"),
        (format!("filter={}", encoded(r#"asset.note = "other""#)), vec![&d],           "of what is so"),
    ];
    for (query, wanted, why) in table {
        for limit in [1, 2, 1000] {
            let found = story.pages(&format!("/outputs?{query}"), limit).await;
            let found: Vec<_> = found.iter().map(name).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{why}: {query}");
        }
    }
    let early = story.pages("/outputs?as_of=2", 1000).await;
    assert_eq!(early[1]["spent_by"], json!(null), "not spent by then");
}

#[tokio::test]
async fn a_page_of_large_rows_is_shorter_and_the_next_goes_on() {
    let story = Story::tell().await;
    let before = story.json("/assets").await["items"].as_array().unwrap().len();
    for block in 0..2 {
        let large = (0..40).map(|at| asset(&format!("{block}-{at}-{}", "x".repeat(60_000))));
        let bytes: Vec<_> = large.map(|signed| signed.bytes).collect();
        story.world.order.federation.commit(&*story.world.store, &bytes);
    }
    let page = story.get("/assets?limit=1000").await;
    assert!(page.text.len() < 5 * 1024 * 1024, "{} bytes", page.text.len());
    assert!(page.json()["next_cursor"].is_string());
    let all = story.pages("/assets", 1000).await;
    let ids: BTreeSet<_> = all.iter().map(|row| row["id"].to_string()).collect();
    assert_eq!((all.len(), ids.len()), (before + 80, before + 80), "none twice, none left out");
}
