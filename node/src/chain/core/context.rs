//! Cairn's types in the shape that Malachite's voting rules ask for. Nothing here decides
//! anything, apart from whose turn it is to propose.

use std::{convert::Infallible, fmt, sync::Arc};

use cairn_ledger::{
    block::Header,
    genesis::Genesis,
    ids::{BlockId, PublicKey},
};
use malachite_types::{self as types, NilOrVal, Round, SignedExtension, VoteType, VotingPower};

/// Which concrete types the voting rules work on.
#[derive(Clone, Debug)]
pub(crate) struct Context;

/// A validator's index in the genesis record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) u16);

impl Address {
    /// Nobody's: a node under this address is not in the validator set, so it never signs.
    pub(crate) const NOBODY: Self = Self(u16::MAX);
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl types::Address for Address {}

/// A block's place in the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Height(pub(crate) u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl types::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// What is decided: a header, known by its id.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) id: BlockId,
    pub(crate) header: Arc<Header>,
}

impl Value {
    pub(crate) fn new(header: Header) -> Self {
        Self { id: header.id(), header: Arc::new(header) }
    }
}

// The id is a hash over the whole header: equal ids are equal headers.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
impl Eq for Value {}
impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Value {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}

impl types::Value for Value {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        self.id
    }
}

/// A vote without its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: NilOrVal<BlockId>,
    pub(crate) validator: Address,
}

impl types::Vote<Context> for Vote {
    fn height(&self) -> Height {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }
    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }
    fn vote_type(&self) -> VoteType {
        self.kind
    }
    fn validator_address(&self) -> &Address {
        &self.validator
    }
    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }
    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }
    fn extend(self, _: SignedExtension<Context>) -> Self {
        self
    }
}

/// A proposal without its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: Value,
    pub(crate) valid_round: Round,
    pub(crate) validator: Address,
}

impl types::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &Value {
        &self.value
    }
    fn take_value(self) -> Value {
        self.value
    }
    fn pol_round(&self) -> Round {
        self.valid_round
    }
    fn validator_address(&self) -> &Address {
        &self.validator
    }
}

/// There are no parts: bodies travel through the ordered log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPart {}

impl types::ProposalPart<Context> for NoPart {
    fn is_first(&self) -> bool {
        match *self {}
    }
    fn is_last(&self) -> bool {
        match *self {}
    }
}

/// One validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    address: Address,
    key: PublicKey,
    power: u64,
}

impl types::Validator<Context> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }
    fn public_key(&self) -> &PublicKey {
        &self.key
    }
    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

/// The validators in the order of the genesis record, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidatorSet {
    validators: Arc<[Validator]>,
    total: u64,
}

impl ValidatorSet {
    /// The founding set. Invariant: not empty, and a total that the library can multiply
    /// without overflow (it panics otherwise); a genesis record promises both.
    pub(crate) fn of(genesis: &Genesis) -> Self {
        let validators: Arc<[Validator]> = genesis
            .validators()
            .iter()
            .zip(0..)
            .map(|(validator, index)| Validator {
                address: Address(index),
                key: validator.consensus_key,
                power: validator.power,
            })
            .collect();
        let total = genesis.total_power();
        assert!(!validators.is_empty(), "a genesis record has at least one validator");
        assert!(total <= cairn_ledger::limits::VOTING_POWER_TOTAL_MAX, "too much voting power");
        Self { validators, total }
    }
}

impl types::ValidatorSet<Context> for ValidatorSet {
    fn count(&self) -> usize {
        self.validators.len()
    }
    fn total_voting_power(&self) -> VotingPower {
        self.total
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.validators.get(usize::from(address.0))
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.validators.get(index)
    }
}

/// Bytes in, bytes out: signatures are made and checked by [`cairn_ledger::signature`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scheme;

impl types::SigningScheme for Scheme {
    type DecodingError = Infallible;
    type Signature = [u8; 64];
    type PublicKey = PublicKey;
    type PrivateKey = ();

    // Our own codecs read and write signatures; the voting rules never ask for these.
    fn decode_signature(_: &[u8]) -> Result<[u8; 64], Infallible> {
        unreachable!("the voting rules decode nothing")
    }
    fn encode_signature(signature: &[u8; 64]) -> Vec<u8> {
        signature.to_vec()
    }
    fn decode_public_key(_: &[u8]) -> Result<PublicKey, Infallible> {
        unreachable!("the voting rules decode nothing")
    }
    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

/// Whose turn it is: each in the order of the genesis record, a new one each height and
/// each round. Total: any height and any round have an answer.
pub(crate) fn proposer(height: u64, round: u32, validators: usize) -> u16 {
    let count = u64::try_from(validators.max(1)).unwrap_or(u64::MAX);
    let turn = (height % count + u64::from(round) % count) % count;
    u16::try_from(turn).expect("a genesis record has at most 2^16 validators")
}

impl types::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = types::LinearTimeouts;
    type Value = Value;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Scheme;

    fn select_proposer<'a>(
        &self,
        set: &'a ValidatorSet,
        height: Height,
        round: Round,
    ) -> &'a Validator {
        // A nil round has no proposer, but the library asks; it must not be able to panic.
        let turn = proposer(height.0, round.as_u32().unwrap_or(0), set.validators.len());
        &set.validators[usize::from(turn)]
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: Value,
        valid_round: Round,
        validator: Address,
    ) -> Proposal {
        Proposal { height, round, value, valid_round, validator }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockId>,
        validator: Address,
    ) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, validator }
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockId>,
        validator: Address,
    ) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, validator }
    }
}
