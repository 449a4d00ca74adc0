//! Rules broken on purpose, one for each invariant, so that whoever checks them is known to bite.
//!
//! Compiled only with the feature `sabotage` (tests), or with one of `sabotage-*`, which breaks that rule in
//! every member of the build. Without them each question here is answered `false` at compile time.

use crate::node::NodeConfig;

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "sabotage"), expect(unreachable_pub))]
pub enum Sabotage {
    /// No lease, no term, no incarnation: who once led goes on acting, frozen meanwhile or not.
    NoFence,
    /// A closed channel of the token ends no office.
    KeepOffice,
    /// Force right on taking office, whatever a predecessor may still do.
    NoWait,
    /// Orders name no incarnation.
    AnyIncarnation,
    /// A `stop` is taken for a death.
    IgnoreStop,
    /// A death during a stop is healed at once.
    StartStopping,
    /// Silence alone is a verdict.
    OneWitness,
    /// What was only created is started.
    HealCreated,
    /// A hold holds nothing.
    IgnoreHold,
    /// No back-off and no quarantine.
    NoLimit,
    /// Nobody remembers that people were told of a quarantine.
    TellAgain,
    /// A new office takes the term of the one before.
    SameTerm,
    /// A plain member speaks as a healer.
    MemberSpeaks,
    /// Nothing is healed.
    HealNobody,
    /// Time does not pass.
    Spin,
}

impl Sabotage {
    /// What this build breaks in every member.
    #[cfg(feature = "sabotage")]
    #[must_use]
    pub(crate) fn built_in() -> Option<Self> {
        [
            (cfg!(feature = "sabotage-no-fence"), Self::NoFence),
            (cfg!(feature = "sabotage-keep-office"), Self::KeepOffice),
            (cfg!(feature = "sabotage-no-wait"), Self::NoWait),
            (
                cfg!(feature = "sabotage-any-incarnation"),
                Self::AnyIncarnation,
            ),
            (cfg!(feature = "sabotage-ignore-stop"), Self::IgnoreStop),
            (
                cfg!(feature = "sabotage-start-stopping"),
                Self::StartStopping,
            ),
            (cfg!(feature = "sabotage-one-witness"), Self::OneWitness),
            (cfg!(feature = "sabotage-heal-created"), Self::HealCreated),
            (cfg!(feature = "sabotage-ignore-hold"), Self::IgnoreHold),
            (cfg!(feature = "sabotage-no-limit"), Self::NoLimit),
            (cfg!(feature = "sabotage-tell-again"), Self::TellAgain),
            (cfg!(feature = "sabotage-same-term"), Self::SameTerm),
            (cfg!(feature = "sabotage-member-speaks"), Self::MemberSpeaks),
            (cfg!(feature = "sabotage-heal-nobody"), Self::HealNobody),
            (cfg!(feature = "sabotage-spin"), Self::Spin),
        ]
        .into_iter()
        .find_map(|(built, rule)| built.then_some(rule))
    }
}

impl NodeConfig {
    /// Whether this rule is broken here.
    #[cfg(feature = "sabotage")]
    pub(crate) fn broken(&self, rule: Sabotage) -> bool {
        self.sabotage == Some(rule)
    }

    /// Whether this rule is broken here: never.
    #[cfg(not(feature = "sabotage"))]
    #[expect(
        clippy::unused_self,
        reason = "the same question with and without the feature"
    )]
    pub(crate) const fn broken(&self, _rule: Sabotage) -> bool {
        false
    }
}
