//! A validator that runs the real machine and lies about what came out: it votes and
//! proposes twice, differently to each peer, and serves blocks with proofs that prove nothing.

use std::sync::Arc;

use cairn_ledger::{
    block::Block,
    ids::Hash,
    signature::SigningKey,
    vote::{proposal_sign_bytes, vote_sign_bytes},
};
use cairn_node::{
    chain::message::{Message, SignedProposal, SignedVote},
    mesh::Peer,
};

use crate::network::Network;

/// What one peer hears in place of a message: often the truth, or another story, or both.
pub(crate) fn twist(
    message: Message,
    me: Peer,
    key: &SigningKey,
    network: &mut Network,
) -> Vec<Message> {
    let chain = crate::world::chain_of(network.faults.validators);
    let other = match &message {
        Message::Vote(vote) if vote.validator == me => {
            network.last_proposed.filter(|(height, _)| *height == vote.height).map(|(_, block)| {
                let block = if vote.block.is_none() { Some(block) } else { None };
                let SignedVote { kind, height, round, .. } = *vote;
                let bytes = vote_sign_bytes(&chain, kind, height, round, block);
                let signature = key.sign(&bytes);
                Message::Vote(SignedVote { block, signature, ..vote.clone() })
            })
        }
        Message::Proposal(proposal) if proposal.validator == me => {
            let mut header = proposal.header.clone();
            match network.dice.below(3) {
                0 => header.time_ms += 1,
                1 => header.outcomes_root = Hash([7; 32]),
                _ => header.state_root = Hash([7; 32]),
            }
            let SignedProposal { round, valid_round, .. } = **proposal;
            let (height, block) = (header.height, header.id());
            let bytes = proposal_sign_bytes(&chain, height, round, valid_round, block);
            let signature = key.sign(&bytes);
            Some(Message::Proposal(Box::new(SignedProposal {
                header,
                signature,
                ..(**proposal).clone()
            })))
        }
        _ => None,
    };
    match (other, network.dice.below(4)) {
        (Some(other), 0) => vec![other],
        (Some(other), 1) => vec![message, other],
        (Some(_), 2) => Vec::new(),
        _ => vec![message],
    }
}

/// A block as the liar serves it.
pub(crate) fn serve(block: &Arc<Block>, network: &mut Network) -> Arc<Block> {
    let mut block = Block::clone(block);
    match network.dice.below(3) {
        0 => {
            if let Some((_, signature)) = block.certificate.signatures.last_mut() {
                *signature = [1; 64];
            }
        }
        1 => {
            block.certificate.signatures.pop();
        }
        _ => {}
    }
    Arc::new(block)
}
