//! Elections: who may propose one, who votes in it, and how far its votes may go.
//!
//! An election is an asset whose shares are the votes: each validator gets as many as it has
//! power. A VOTE moves them to the election itself. In elections a validator is known by its
//! *member key*: its consensus key never leaves the volume that it signs on.
//!
//! This version carries out no result. So no vote is let in that could be the one that brings
//! an election to two thirds: see [`check_vote`].

use crate::{
    condition::{Condition, Fingerprint},
    genesis::Genesis,
    ids::{OutputReference, PublicKey, TransactionId},
    limits::{AMOUNT_MAX, OUTPUTS_MAX, VALIDATORS_MAX, VOTING_POWER_TOTAL_MAX},
    refusal::Refusal,
    rules::{OutputRow, OutputState, View},
    transaction::{Operation, Parsed},
};

// Every federation can hold an election: an output for each validator, all power together.
const _: () = assert!(VALIDATORS_MAX <= OUTPUTS_MAX);
const _: () = assert!(VOTING_POWER_TOTAL_MAX <= AMOUNT_MAX);

/// Those who vote in elections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate {
    voters: Vec<Voter>,
    total: u64,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The validator's member key.
    pub key: PublicKey,
    /// Its power, at least 1.
    pub power: u64,
    condition: Fingerprint,
}

impl Electorate {
    /// The validators of a chain.
    pub fn of(genesis: &Genesis) -> Self {
        let voters = genesis.validators().iter().map(|validator| Voter {
            key: validator.member_key,
            power: validator.power,
            condition: Fingerprint::of_key(&validator.member_key),
        });
        Self { voters: voters.collect(), total: genesis.total_power() }
    }

    /// Each of them once.
    pub fn voters(&self) -> &[Voter] {
        &self.voters
    }

    fn knows(&self, key: &PublicKey) -> bool {
        self.voters.iter().any(|voter| voter.key == *key)
    }

    /// Where an election of these voters holds the votes that nobody moved yet.
    pub(crate) fn ballots(
        &self,
        election: TransactionId,
    ) -> impl Iterator<Item = OutputReference> + '_ {
        (0..)
            .zip(&self.voters)
            .map(move |(index, _)| OutputReference { transaction: election, index })
    }
}

/// Checks who proposes an election, and to whom it gives votes; upstream's checks in
/// upstream's order.
pub(crate) fn check_election(electorate: &Electorate, election: &Parsed) -> Result<(), Refusal> {
    // Upstream looks at an election's signature before it looks at who signed.
    if election.unsigned_input().is_some() {
        return Err(Refusal::SignatureInvalid);
    }
    let [input] = election.inputs() else { return Err(Refusal::ProposerNotOne) };
    let [proposer] = input.owners_before.as_slice() else { return Err(Refusal::ProposerNotOne) };
    if !electorate.knows(proposer) {
        return Err(Refusal::ProposerUnknown);
    }
    if !gives_all_their_votes(electorate, election) {
        return Err(Refusal::ElectionOutputs);
    }
    let is_too_much = |power| u128::from(power) * 3 >= u128::from(electorate.total);
    if election.operation() == Operation::ValidatorElection
        && election.proposed_power().is_some_and(is_too_much)
    {
        return Err(Refusal::PowerChange);
    }
    Ok(())
}

/// One output for each voter, of its power; in any order, and nothing else.
fn gives_all_their_votes(electorate: &Electorate, election: &Parsed) -> bool {
    let outputs = election.outputs();
    outputs.len() == electorate.voters.len()
        && electorate.voters.iter().all(|voter| {
            outputs.iter().any(|output| {
                output.amount == voter.power
                    && output.condition == Condition::Ed25519(voter.key)
                    && output.public_keys == [voter.key]
            })
        })
}

/// Refuses a vote that could conclude its election, once all else about it holds.
///
/// Counted is the power that has left the election's own outputs, whoever has it now. All votes
/// come out of that, so they stay below two thirds while it does. Votes that were only
/// delegated, or moved by a TRANSFER, are counted too: that is on the safe side, and spares every
/// node a second set of books. An asset that looks like an election in all that is left of
/// its first outputs is taken for one; voting for it would lead to nothing anyway.
///
/// # Panics
/// When `view` lacks one of the [`Electorate::ballots`].
pub(crate) fn check_vote(
    electorate: &Electorate,
    view: &View,
    vote: &Parsed,
) -> Result<(), Refusal> {
    let election = vote.asset();
    let mut left = 0;
    let mut seen = Vec::with_capacity(electorate.voters.len());
    for at in electorate.ballots(election) {
        let row = match view.output(&at) {
            OutputState::Unspent(row) => row,
            OutputState::Spent(_) => continue,
            OutputState::Unknown => return Ok(()),
        };
        match electorate.voters.iter().find(|voter| is_ballot_of(voter, row)) {
            Some(voter) if !seen.contains(&voter.key) => seen.push(voter.key),
            // No election: whatever is voted on, nothing can come of it.
            Some(_) | None => return Ok(()),
        }
        if !vote.inputs().iter().any(|input| input.spends == Some(at)) {
            left += row.amount;
        }
    }
    let given = electorate.total - left;
    if u128::from(given) * 3 >= u128::from(electorate.total) * 2 {
        return Err(Refusal::ConclusionUnsupported { election, given, total: electorate.total });
    }
    Ok(())
}

fn is_ballot_of(voter: &Voter, row: &OutputRow) -> bool {
    let OutputRow { asset: _, amount, condition, owners } = row;
    *amount == voter.power && *condition == voter.condition && **owners == [voter.key]
}

#[cfg(test)]
mod tests;
