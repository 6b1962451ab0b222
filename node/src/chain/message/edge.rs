//! What is checked of a message before it is queued: membership, power and signatures.

use cairn_ledger::{
    genesis::Genesis,
    signature::{self, Claim},
    vote::{VoteKind, proposal_sign_bytes, vote_sign_bytes},
};

use super::{
    Message, PolkaCertificate, RoundCertificate, RoundCertificateKind, SignedProposal, SignedVote,
};
use crate::{chain::core::proposer, mesh::Peer};

/// Whether every signature in `message` holds and every signer is a validator of this
/// chain. Called at the edge, before a message is queued: what reaches the machine has
/// passed here, so that junk costs its sender's connection and nobody's queue.
///
/// Invariant: nothing enters [`crate::chain::machine::Input::Received`] without this; the
/// voting rules buffer and count without looking at signatures again.
///
/// # Errors
/// With what is wrong, for the log; the sender is at fault.
pub fn verify(genesis: &Genesis, message: &Message, from: Peer) -> Result<(), &'static str> {
    if usize::from(from) >= genesis.validators().len() {
        return Err("the sender is not a validator");
    }
    match message {
        Message::Proposal(proposal) => verify_proposal(genesis, proposal),
        Message::Vote(vote) => verify_vote(genesis, vote),
        Message::PolkaCertificate(certificate) => verify_polka(genesis, certificate),
        Message::RoundCertificate(certificate) => verify_round(genesis, certificate),
        // Not signed: it is the sender's own word, on its own connection.
        Message::Status(_) => Ok(()),
    }
}

fn verify_proposal(genesis: &Genesis, proposal: &SignedProposal) -> Result<(), &'static str> {
    let SignedProposal { header, round, valid_round, validator, signature } = proposal;
    if header.chain != genesis.chain() {
        return Err("the header is of another chain");
    }
    if *validator != proposer(header.height.0, *round, genesis.validators().len()) {
        return Err("the signer is not that round's proposer");
    }
    if valid_round.is_some_and(|valid_round| valid_round >= *round) {
        return Err("the proof-of-lock round is not before the round");
    }
    if usize::from(header.proposer) >= genesis.validators().len() {
        return Err("the header's proposer is not a validator");
    }
    let message =
        proposal_sign_bytes(&genesis.chain(), header.height, *round, *valid_round, header.id());
    let claim = claim(genesis, *validator, &message, *signature)?;
    if signature::holds(&claim) { Ok(()) } else { Err("the proposal's signature does not hold") }
}

fn verify_vote(genesis: &Genesis, vote: &SignedVote) -> Result<(), &'static str> {
    let SignedVote { kind, height, round, block, validator, signature } = vote;
    let message = vote_sign_bytes(&genesis.chain(), *kind, *height, *round, *block);
    let claim = claim(genesis, *validator, &message, *signature)?;
    if signature::holds(&claim) { Ok(()) } else { Err("the vote's signature does not hold") }
}

fn verify_polka(genesis: &Genesis, certificate: &PolkaCertificate) -> Result<(), &'static str> {
    let PolkaCertificate { height, round, block, signatures } = certificate;
    holds_more_than(genesis, 2, signatures.iter().map(|(validator, _)| *validator))?;
    let message =
        vote_sign_bytes(&genesis.chain(), VoteKind::Prevote, *height, *round, Some(*block));
    let claims: Result<Vec<_>, _> = signatures
        .iter()
        .map(|(validator, signature)| claim(genesis, *validator, &message, *signature))
        .collect();
    all_hold(&claims?)
}

fn verify_round(genesis: &Genesis, certificate: &RoundCertificate) -> Result<(), &'static str> {
    let RoundCertificate { height, round, kind, signatures } = certificate;
    let thirds = match kind {
        RoundCertificateKind::Precommit => 2,
        RoundCertificateKind::Skip => 1,
    };
    holds_more_than(genesis, thirds, signatures.iter().map(|signed| signed.validator))?;
    let ends = *kind == RoundCertificateKind::Precommit;
    if ends && signatures.iter().any(|signed| signed.kind != VoteKind::Precommit) {
        return Err("prevotes do not end a round");
    }
    let chain = genesis.chain();
    let messages: Vec<_> = signatures
        .iter()
        .map(|signed| vote_sign_bytes(&chain, signed.kind, *height, *round, signed.block))
        .collect();
    let claims: Result<Vec<_>, _> = signatures
        .iter()
        .zip(&messages)
        .map(|(signed, message)| claim(genesis, signed.validator, message, signed.signature))
        .collect();
    all_hold(&claims?)
}

/// Whether the signers are distinct validators with more than so many thirds of the power.
/// Before the signatures are checked, as it costs nothing.
fn holds_more_than(
    genesis: &Genesis,
    thirds: u128,
    signers: impl Iterator<Item = Peer>,
) -> Result<(), &'static str> {
    let (mut have, mut previous) = (0_u64, None);
    for index in signers {
        let validator = genesis.validators().get(usize::from(index));
        if previous.is_some_and(|previous| previous >= index) {
            return Err("the signers are not distinct and ascending");
        }
        previous = Some(index);
        // No overflow: distinct validators are part of a total that genesis bounds.
        have += validator.ok_or("the signer is not a validator")?.power;
    }
    if u128::from(have) * 3 > u128::from(genesis.total_power()) * thirds {
        Ok(())
    } else {
        Err("the signers hold too little power for a certificate")
    }
}

fn claim<'a>(
    genesis: &Genesis,
    validator: Peer,
    message: &'a [u8],
    signature: [u8; 64],
) -> Result<Claim<'a>, &'static str> {
    let validator =
        genesis.validators().get(usize::from(validator)).ok_or("the signer is not a validator")?;
    Ok(Claim { key: validator.consensus_key, message, signature })
}

fn all_hold(claims: &[Claim<'_>]) -> Result<(), &'static str> {
    if signature::all_hold(claims).iter().all(|holds| *holds) {
        Ok(())
    } else {
        Err("a signature in the certificate does not hold")
    }
}
