//! Rules broken on purpose, by name. Without the feature there is nothing to break.

use cairn_node::chain::{executor::Executor, machine::Machine};

#[cfg(feature = "planted-bugs")]
use cairn_node::chain::{executor::ExecutorPlant, machine::Plant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    #[cfg(feature = "planted-bugs")]
    Machine(Plant),
    #[cfg(feature = "planted-bugs")]
    Executor(ExecutorPlant),
    /// The signing state begins anew with each start.
    #[cfg(feature = "planted-bugs")]
    StateFileReset,
}

#[cfg(feature = "planted-bugs")]
impl Planted {
    pub(crate) const ALL: [Self; 8] = [
        Self::Machine(Plant::NoLock),
        Self::Machine(Plant::QuorumMinusOne),
        Self::Machine(Plant::CountNil),
        Self::Machine(Plant::SkipLastSignature),
        Self::Machine(Plant::SendBeforeFsync),
        Self::Machine(Plant::VoteBeforeBody),
        Self::Executor(ExecutorPlant::TrustOutcomes),
        Self::StateFileReset,
    ];

    pub(crate) fn plant(self, machine: &mut Machine, executor: &mut Executor) {
        match self {
            Self::Machine(plant) => machine.plant(plant),
            Self::Executor(plant) => executor.plant(plant),
            Self::Nothing | Self::StateFileReset => {}
        }
    }

    pub(crate) fn is_state_file_reset(self) -> bool {
        self == Self::StateFileReset
    }

    pub(crate) fn sends_before_fsync(self) -> bool {
        self == Self::Machine(Plant::SendBeforeFsync)
    }
}

#[cfg(not(feature = "planted-bugs"))]
impl Planted {
    pub(crate) fn plant(self, _: &mut Machine, _: &mut Executor) {}

    pub(crate) fn is_state_file_reset(self) -> bool {
        false
    }

    pub(crate) fn sends_before_fsync(self) -> bool {
        false
    }
}
