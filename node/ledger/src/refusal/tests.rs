use super::*;

#[test]
fn numbers_and_codes_stay_what_they_were_when_recorded() {
    // A change here changes what recorded blocks say: numbers are only ever added.
    let known: Vec<String> = CODES.iter().map(|(n, code)| format!("{n} {code}")).collect();
    let expected = "1 TX_TOO_LARGE,2 JSON_EMPTY,3 JSON_SYNTAX,4 JSON_DUPLICATE_KEY,\
        5 FIELD_MISSING,6 TX_ID_MISMATCH,7 FIELD_MISSING,8 FIELD_UNKNOWN,9 FIELD_TYPE,\
        10 FIELD_VALUE,11 AMOUNT_FORMAT,12 CONDITION_LIMIT,13 KEY_FORMAT,14 KEY_NAME,\
        15 LANGUAGE,16 OPERATION_UNSUPPORTED,17 TX_LIMIT,18 FULFILLMENT_FORMAT,\
        19 KEY_FORMAT,20 KEY_WEAK,21 CONDITION_LIMIT,22 CONDITION_DUP_KEY,\
        23 CONDITION_URI,24 OWNER_MISMATCH,25 OWNER_MISMATCH,26 AMOUNT_FORMAT,\
        27 AMOUNT_RANGE,28 AMOUNT_RANGE,29 TX_DUPLICATE,30 INPUT_NOT_FOUND,\
        31 INPUT_NOT_FOUND,32 DOUBLE_SPEND,33 INPUT_DUPLICATE,34 ASSET_MISMATCH,\
        35 ASSET_MISMATCH,36 AMOUNT_MISMATCH,37 SIG_INVALID,38 SIG_INVALID,\
        39 ELECTION_PROPOSER,40 ELECTION_PROPOSER,41 ELECTION_OUTPUTS,42 ELECTION_POWER,\
        43 ELECTION_KEY,44 ELECTION_KEY,45 ELECTION_CONCLUSION_UNSUPPORTED";
    assert_eq!(known.join(","), expected);
    assert_eq!(Recorded { number: 999, text: String::new() }.code(), "UNKNOWN");
}

#[test]
fn a_record_is_bounded_and_reads_as_v1_says_it() {
    let long = Refusal::Language("é".repeat(1000)).record();
    assert!(long.text.len() <= REFUSAL_BYTES_MAX && long.text.ends_with('é'));
    let spent = Refusal::DoubleSpend { spent: TransactionId([1; 32]), by: TransactionId([2; 32]) };
    let recorded = spent.record();
    assert_eq!((recorded.number, recorded.code()), (32, "DOUBLE_SPEND"));
    let id = "01".repeat(32);
    assert_eq!(recorded.text, format!("DoubleSpend: input `{id}` was already spent"));
    assert!(spent.detail().ends_with(&format!("spent by transaction {}", "02".repeat(32))));
}
