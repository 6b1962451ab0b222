//! The receipt file, field by field.

use crate::{
    Invalid,
    certificate::{Certificate, Signature},
    json::{Field, from_hex},
};

/// The format of the file.
const FORMAT: u16 = 1;
/// Largest transaction that a block takes.
const TRANSACTION_BYTES_MAX: usize = 64 * 1024;
/// Longest text of a refusal that a block records.
const REFUSAL_BYTES_MAX: usize = 512;
/// Refusals of lower numbers were found before the transaction's id was checked.
const ID_CHECKED_FROM: u16 = 7;

/// What became of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of the ledger.
    Committed,
    /// It is not.
    Refused {
        /// Which of the known reasons.
        number: u16,
        /// The reason in words.
        text: String,
    },
}

/// A receipt as it was read: its form is sound, and nothing else about it is known.
pub(crate) struct Receipt {
    pub(crate) chain_id: [u8; 32],
    pub(crate) transaction: Vec<u8>,
    pub(crate) index: u32,
    pub(crate) outcome: Outcome,
    pub(crate) path: Vec<[u8; 32]>,
    pub(crate) header: Vec<u8>,
    pub(crate) certificate: Certificate,
}

impl Receipt {
    pub(crate) fn read(text: &[u8]) -> Result<Self, Invalid> {
        let [format, chain_id, transaction, encoding, index, outcome, path, header, certificate] =
            Field::read("receipt", text)?.members([
                "format",
                "chain_id",
                "transaction",
                "encoding",
                "index",
                "outcome",
                "path",
                "header",
                "certificate",
            ])?;
        if format.number::<u16>()? != FORMAT {
            return Err(format.wrong("format 1 is the one that this version reads"));
        }
        let digits = "hexadecimal digits of lower case would be fine";
        Ok(Self {
            chain_id: chain_id.bytes()?,
            transaction: read_transaction(&transaction, &encoding)?,
            index: index.number()?,
            outcome: read_outcome(outcome)?,
            path: path.list()?.iter().map(Field::bytes).collect::<Result<_, _>>()?,
            header: from_hex(header.text(digits)?).ok_or_else(|| header.wrong(digits))?,
            certificate: read_certificate(certificate)?,
        })
    }
}

fn read_transaction(transaction: &Field, encoding: &Field) -> Result<Vec<u8>, Invalid> {
    let text = transaction.text("the transaction as it was received, as text, would be fine")?;
    let bytes = match encoding.text("`text` or `hex` would be fine")? {
        "text" => text.as_bytes().to_vec(),
        "hex" => from_hex(text).ok_or_else(|| {
            transaction.wrong("hexadecimal digits of lower case, as encoding says, would be fine")
        })?,
        _ => return Err(encoding.wrong("`text` or `hex` would be fine")),
    };
    // One transaction has one spelling: digits are for what is no text.
    if encoding.text("")? == "hex" && std::str::from_utf8(&bytes).is_ok() {
        return Err(encoding.wrong("the transaction is UTF-8: `text` would be fine"));
    }
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(transaction.wrong("65536 bytes are the most that a block takes"));
    }
    Ok(bytes)
}

fn read_outcome(outcome: Field) -> Result<Outcome, Invalid> {
    if !outcome.is_object() {
        let fine = r#""committed" or {"refused": {"number": …, "text": …}} would be fine"#;
        return match outcome.text(fine)? {
            "committed" => Ok(Outcome::Committed),
            _ => Err(outcome.wrong(fine)),
        };
    }
    let [refused] = outcome.members(["refused"])?;
    let [number, text] = refused.members(["number", "text"])?;
    let fine = "at most 512 bytes of text would be fine";
    let words = text.text(fine)?;
    if words.len() > REFUSAL_BYTES_MAX {
        return Err(text.wrong(fine));
    }
    Ok(Outcome::Refused { number: number.number()?, text: words.to_owned() })
}

fn read_certificate(certificate: Field) -> Result<Certificate, Invalid> {
    let [round, signatures] = certificate.members(["round", "signatures"])?;
    let mut read = Vec::new();
    for signature in signatures.list()? {
        let [validator, signature] = signature.members(["validator", "signature"])?;
        let validator = validator.text("the name of a validator would be fine")?.to_owned();
        read.push(Signature { validator, bytes: signature.bytes()? });
    }
    Ok(Certificate { round: round.number()?, signatures: read })
}

/// The id that the transaction carries, where the federation has checked that it is its own:
/// whenever it is committed, and when it was refused for a reason that is looked for later.
/// Nothing otherwise: whatever id it claims may be another's.
pub(crate) fn checked_id(
    transaction: &[u8],
    outcome: &Outcome,
) -> Result<Option<[u8; 32]>, Invalid> {
    match (written_id(transaction), outcome) {
        (Some(id), Outcome::Committed) => Ok(Some(id)),
        (None, Outcome::Committed) => {
            let wanted = "committed, and yet it carries no id that this version can read";
            Err(Invalid::field("receipt.transaction", wanted))
        }
        (id, Outcome::Refused { number, .. }) => Ok(id.filter(|_| *number >= ID_CHECKED_FROM)),
    }
}

fn written_id(transaction: &[u8]) -> Option<[u8; 32]> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let object = transaction.trim_ascii_start().starts_with(b"{");
    let Named { id } = object.then(|| serde_json::from_slice(transaction).ok()).flatten()?;
    from_hex(&id)?.try_into().ok()
}
